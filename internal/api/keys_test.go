package api

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

func TestKeysAreReadFromAListAndFromAFile(t *testing.T) {
	t.Parallel()
	a, b := newKey(t, "web"), newKey(t, "")
	for name, text := range map[string]string{
		"a list": a.Entry + "," + b.Entry,
		"a file": "# our web app\n" + a.Entry + "\r\n\n  " + b.Entry + "  \n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			keys, err := ParseKeys(text)

			if err != nil || keys.Len() != 2 {
				t.Fatalf("%d keys, error %v", keys.Len(), err)
			}
			for _, k := range []Key{a, b} {
				if id, ok := keys.find(k.Secret); !ok || id != k.ID {
					t.Errorf("key %s was not found", k.ID)
				}
			}
		})
	}
}

func TestFaultsOfKeysAreToldAtOnceAndWithoutSecrets(t *testing.T) {
	t.Parallel()
	key := newKey(t, "web")
	_, hash, _ := strings.Cut(key.Entry, ":")

	_, err := ParseKeys(key.Secret + "," + key.Entry + ",web:" + hash + ",Web!:" + hash + ",short:abc,nocolon")

	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"API key 1: this is a key itself", "API key 3: the id web is there twice", "API key 4: the id must", "API key 5: the hash of short must have 64 hex digits, has 3", "API key 6: must be id:sha256"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), key.Secret) || strings.Contains(err.Error(), hash) {
		t.Errorf("the error repeats a secret: %v", err)
	}
}

func TestOnlyKnownKeysOpenV1(t *testing.T) {
	t.Parallel()
	key, other := newKey(t, "web"), newKey(t, "web")
	keys, err := ParseKeys(key.Entry)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	live := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	server := newServer(t, Config{Tasks: &fakeTasks{}, Keys: keys, Events: live, WebSocket: live, Web: live,
		Logger: slog.New(slog.NewJSONHandler(&log, nil))})

	for name, header := range map[string]string{
		"none": "", "another scheme": "Basic " + key.Secret, "no secret": "Bearer", "another secret": "Bearer " + other.Secret,
		"the id alone": "Bearer seri_web_", "the hash": "Bearer " + key.Entry, "without prefix": "Bearer " + strings.TrimPrefix(key.Secret, keyPrefix),
	} {
		for _, target := range []string{"GET /v1/queues", "POST /v1/tasks", "GET /v1/events", "GET /v1/ws", "GET /v1/unheard-of", "PUT /v1/tasks", "GET /%76%31/queues"} {
			method, path, _ := strings.Cut(target, " ")
			w := do(server, method, path, "", "Authorization", header)

			if w.Code != http.StatusUnauthorized || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), `Bearer realm="seri"`) {
				t.Errorf("%s with %s: answer is %d %v", target, name, w.Code, w.Header())
			}
			problemOf(t, w)
		}
	}
	for target, want := range map[string]int{"/v1/queues": 200, "/v1/events": 418, "/v1/ws": 418, "/v1/unheard-of": 404} {
		if w := do(server, "GET", target, "", "Authorization", "bearer "+key.Secret); w.Code != want {
			t.Errorf("GET %s with the key: answer is %d %s", target, w.Code, w.Body)
		}
	}
	for _, open := range []string{"/healthz", "/readyz", "/docs", "/docs/start.js", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/openapi.json", "/openapi.yaml", "/problems/conflict", "/"} {
		if w := do(server, "GET", open, ""); w.Code != 200 && w.Code != 418 {
			t.Errorf("GET %s without a key: answer is %d", open, w.Code)
		}
	}
	if s := log.String(); strings.Contains(s, key.Secret) || strings.Contains(s, other.Secret) || !strings.Contains(s, `"key_id":"web"`) {
		t.Errorf("log is %s", s)
	}
}

func TestNewKeysAreOfTheirForm(t *testing.T) {
	t.Parallel()

	key := newKey(t, "")

	if parts := strings.Split(key.Secret, "_"); len(parts) != 3 || parts[0] != "seri" || parts[1] != key.ID || len(parts[2]) != 52 {
		t.Errorf("key is %q with id %q", key.Secret, key.ID)
	}
	if _, err := NewKey("With Space"); err == nil {
		t.Error("an id with a space was taken")
	}
}

func newKey(t *testing.T, id string) Key {
	t.Helper()
	key, err := NewKey(id)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
