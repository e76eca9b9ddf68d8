package role

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri/internal/api"
)

func TestAMainLoopHangsOnceItHasNotTurnedForAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPulse()
		ask := func(path string) (int, string) {
			recorder := httptest.NewRecorder()
			p.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
			return recorder.Code, recorder.Body.String()
		}
		expect := func(code int, text string) {
			t.Helper()
			if gotCode, got := ask("/healthz"); gotCode != code || !strings.HasPrefix(got, text) || strings.Count(got, "\n") != 1 {
				t.Errorf("answered %d %q, want %d %q", gotCode, got, code, text)
			}
		}

		expect(http.StatusOK, "alive: its main loop turned 0s ago") // it has just begun
		time.Sleep(hung - time.Second)
		expect(http.StatusOK, "alive: its main loop turned 59s ago")
		time.Sleep(time.Second)
		expect(http.StatusServiceUnavailable, "hangs: its main loop turned 1m0s ago, more than 1m0s")
		p.turn()
		expect(http.StatusOK, "alive: its main loop turned 0s ago")
		if code, _ := ask("/debug/pprof/"); code != http.StatusNotFound {
			t.Errorf("another path is answered with %d", code)
		}
	})
}

func TestHealthIsAskedWhereTheRoleListens(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		role asked
		want string // empty: an error
	}{
		"an api by default":                  {new(API), "http://127.0.0.1:8080/healthz"},
		"an api on every interface":          {&API{Serve: Serve{HTTPAddr: "0.0.0.0:90"}}, "http://127.0.0.1:90/healthz"},
		"an api on every interface, IPv6":    {&API{Serve: Serve{HTTPAddr: "[::]:90"}}, "http://127.0.0.1:90/healthz"},
		"an api on one interface":            {&API{Serve: Serve{HTTPAddr: "10.0.0.7:90"}}, "http://10.0.0.7:90/healthz"},
		"an api whose address is none":       {&API{Serve: Serve{HTTPAddr: "here"}}, ""},
		"a worker":                           {&Worker{Alive: Alive{HealthAddr: "127.0.0.1:91"}}, "http://127.0.0.1:91/healthz"},
		"a worker that cannot be asked":      {new(Worker), ""},
		"a beat":                             {&Beat{Alive: Alive{HealthAddr: "[::1]:91"}}, "http://[::1]:91/healthz"},
		"whoever has the address for it":     {&Health{Alive: Alive{HealthAddr: "127.0.0.1:91"}, HTTPAddr: ":90"}, "http://127.0.0.1:91/healthz"},
		"without one it must be the api":     {&Health{HTTPAddr: ":90"}, "http://127.0.0.1:90/healthz"},
		"and without any, where api usually": {new(Health), "http://127.0.0.1:8080/healthz"},
	}
	for sentence, c := range cases {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			if got, err := c.role.healthURL(); got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("asks %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestHealthTellsInOneLine(t *testing.T) {
	t.Parallel()
	status, text, ours := http.StatusOK, "alive: well\nand more\n", "1"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(api.HealthHeader, ours)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(server.Close)
	role := &Worker{Alive: Alive{HealthAddr: strings.TrimPrefix(server.URL, "http://")}}
	var out bytes.Buffer

	if err := askHealth(t.Context(), role, &out); err != nil || out.String() != "alive: well\n" {
		t.Errorf("prints %q, %v", &out, err)
	}
	status, text = http.StatusServiceUnavailable, "hangs: since long\n"
	if err := askHealth(t.Context(), role, &out); err == nil || err.Error() != "hangs: since long" {
		t.Errorf("of one that hangs it says %v", err)
	}
	text = ""
	if err := askHealth(t.Context(), role, &out); err == nil || err.Error() != "503 Service Unavailable" {
		t.Errorf("of one that says nothing it says %v", err)
	}
	ours = ""
	for _, status = range []int{http.StatusOK, http.StatusServiceUnavailable} {
		if err := askHealth(t.Context(), role, &out); err == nil || !strings.Contains(err.Error(), fmt.Sprint(status)) || !strings.Contains(err.Error(), "is not Seri") {
			t.Errorf("of another program it says %v", err)
		}
	}
	server.Close()
	if err := askHealth(t.Context(), role, &out); err == nil || !strings.HasPrefix(err.Error(), "does not answer at "+server.URL+"/healthz: ") {
		t.Errorf("of none it says %v", err)
	}
}

func TestHealthIsForThisMachineOnly(t *testing.T) {
	t.Parallel()
	for addr, fine := range map[string]bool{
		"": true, "127.0.0.1:8079": true, "localhost:1": true, "[::1]:1": true,
		":8079": false, "0.0.0.0:8079": false, "10.0.0.1:8079": false, "127.0.0.1": false, "junk": false, "junk:80": false, "127.0.0.1:junk": false, "127.0.0.1:65536": false,
	} {
		if where, err := (&Alive{HealthAddr: addr}).healthURL(); addr != "" && ((err == nil) != fine || err != nil && !strings.Contains(err.Error(), "SERI_HEALTH_ADDR")) {
			t.Errorf("%q is asked at %q, %v", addr, where, err)
		}
		var f faults
		(&Alive{HealthAddr: addr}).check(&f)
		if err := f.err(); (err == nil) != fine || err != nil && !strings.Contains(err.Error(), "SERI_HEALTH_ADDR") {
			t.Errorf("%q: %v", addr, err)
		}
	}
}

func TestSchedulesAreGivenOnce(t *testing.T) {
	t.Parallel()
	const text = "schedules:\n  nightly:\n    cron: '@daily'\n    task: {type: report}\n"
	lease := Duration{Duration: 10 * time.Second}
	cases := map[string]struct {
		beating Beating
		says    string
	}{
		"beside a file":    {Beating{SchedulesText: text, Schedules: "no.yml"}, "--schedules-text (SERI_SCHEDULES_TEXT) is given beside --schedules"},
		"with a fault":     {Beating{SchedulesText: "schedules: 7"}, "--schedules-text (SERI_SCHEDULES_TEXT) is wrong"},
		"a file not there": {Beating{Schedules: "no.yml"}, "--schedules (SERI_SCHEDULES) is wrong"},
	}
	for sentence, c := range cases {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			var f faults
			c.beating.BeatLease = lease
			c.beating.check(&f)
			if err := f.err(); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("says %v, want %q", err, c.says)
			}
		})
	}
}
