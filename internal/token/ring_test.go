package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/seri-queue/seri"
)

var update = flag.Bool("update", false, "renew the table of bad tokens in the documentation")

var now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func ring(t *testing.T, ids ...string) *Ring {
	t.Helper()
	var entries []string
	for _, id := range ids {
		sum := sha256.Sum256([]byte(id))
		entries = append(entries, id+":"+base64.StdEncoding.EncodeToString(sum[:]))
	}
	r, err := Parse(strings.Join(entries, ","))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mint(t *testing.T, r *Ring, p Pass) string {
	t.Helper()
	text, _, err := r.Mint(p, time.Minute, now)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// part encodes a part of a token.
func part(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func unpart(t *testing.T, text string) (m map[string]any) {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func sign(signed string, secret []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func TestGoodTokenSaysWhatItWasMadeFor(t *testing.T) {
	r := ring(t, "a")
	want := Pass{Issuer: "web", Scope: Scope{Tasks: []string{"t1", "t2"}, Queues: []string{"q"}}, Origin: "https://app.example.com"}

	got, err := r.Check(mint(t, r, want), now.Add(59*time.Second))

	if err != nil || got.ID == "" || !got.Expires.Equal(now.Add(time.Minute)) {
		t.Fatalf("got %+v, %v", got, err)
	}
	got.ID, got.Expires = "", time.Time{}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestBadTokensAreRefused is a table of what somebody may try who has a good token, another server's token, or neither.
func TestBadTokensAreRefused(t *testing.T) {
	t.Parallel()
	r := ring(t, "a", "b")
	secret := r.keys[0].bytes
	good := mint(t, r, Pass{Scope: Scope{Tasks: []string{"t1"}}})
	parts := strings.Split(good, ".")
	head, body := unpart(t, parts[0]), unpart(t, parts[1])

	with := func(m map[string]any, name string, value any) map[string]any {
		m = maps.Clone(m)
		if m[name] = value; value == nil {
			delete(m, name)
		}
		return m
	}
	header := func(name string, value any) string { return sign(part(with(head, name, value))+"."+parts[1], secret) }
	claim := func(name string, value any) string { return sign(parts[0]+"."+part(with(body, name, value)), secret) }
	unsigned := func(name string, value any) string {
		return parts[0] + "." + part(with(body, name, value)) + "." + parts[2]
	}
	other := func(method jwt.SigningMethod, key any) string {
		token := jwt.NewWithClaims(method, jwt.MapClaims(body))
		token.Header["typ"], token.Header["kid"] = kind, "a"
		text, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	far := float64(now.Add(100 * 365 * 24 * time.Hour).Unix())

	tokens := map[string]struct {
		text string
		want error
	}{
		"replayed after it has expired":               {good, ErrExpired}, // checked at a later time, below
		"empty":                                       {"", ErrInvalid},
		"two dots and nothing else":                   {"..", ErrInvalid},
		"no JWT":                                      {"seri_web_ABCDEFGHIJKLMNOPQRSTUVWXYZ", ErrInvalid},
		"without its signature":                       {parts[0] + "." + parts[1] + ".", ErrInvalid},
		"without the part of its signature":           {parts[0] + "." + parts[1], ErrInvalid},
		"with a fourth part":                          {good + ".x", ErrInvalid},
		"with the signature of another token":         {parts[0] + "." + parts[1] + "." + strings.Split(mint(t, r, Pass{Scope: Scope{Owner: "x"}}), ".")[2], ErrInvalid},
		"with a flipped bit in the signature":         {good[:len(good)-5] + flip(good[len(good)-5]) + good[len(good)-4:], ErrInvalid},
		"with a space at its end":                     {good + " ", ErrInvalid},
		"with padding":                                {good + "=", ErrInvalid},
		"with loose bits at the end of the signature": {loosen(good), ErrInvalid},
		"scope widened to another task":               {unsigned("scope", map[string]any{"tasks": []string{"t1", "t2"}}), ErrInvalid},
		"scope widened to a queue":                    {unsigned("scope", map[string]any{"queues": []string{"q"}}), ErrInvalid},
		"expiry moved, not signed anew":               {unsigned("exp", far), ErrInvalid},
		"of another tenant's secret under our id":     {mint(t, named(ring(t, "z"), "a"), Pass{Scope: Scope{Owner: "user:1"}}), ErrInvalid},
		"of a secret that is not in the ring":         {mint(t, ring(t, "z"), Pass{Scope: Scope{Owner: "user:1"}}), ErrInvalid},
		"of the secret that everybody knows":          {mint(t, Development(), Pass{Scope: Scope{Owner: "user:1"}}), ErrInvalid},
		"signed by the other secret of the ring":      {sign(parts[0]+"."+parts[1], r.keys[1].bytes), ErrInvalid},
		"signed by an empty secret":                   {sign(parts[0]+"."+parts[1], nil), ErrInvalid},
		"alg none":                                    {part(with(head, "alg", "none")) + "." + parts[1] + ".", ErrInvalid},
		"alg None, with the signature":                {part(with(head, "alg", "None")) + "." + parts[1] + "." + parts[2], ErrInvalid},
		"alg nOnE":                                    {part(with(head, "alg", "nOnE")) + "." + parts[1] + ".", ErrInvalid},
		"alg HS512, with our secret":                  {other(jwt.SigningMethodHS512, secret), ErrInvalid},
		"alg HS384, with our secret":                  {other(jwt.SigningMethodHS384, secret), ErrInvalid},
		"alg ES256, with a key of theirs":             {other(jwt.SigningMethodES256, ec), ErrInvalid},
		"alg RS256 over an HMAC":                      {header("alg", "RS256"), ErrInvalid},
		"alg that is a list":                          {header("alg", []string{"HS256"}), ErrInvalid},
		"without alg":                                 {header("alg", nil), ErrInvalid},
		"without kid":                                 {header("kid", nil), ErrInvalid},
		"kid that is a path":                          {header("kid", "../../../../dev/null"), ErrInvalid},
		"kid that is SQL":                             {header("kid", "x' UNION SELECT 'k"), ErrInvalid},
		"kid that is a number":                        {header("kid", 0), ErrInvalid},
		"kid of the other secret":                     {header("kid", "b"), ErrInvalid},
		"a key in the header":                         {header("jwk", map[string]string{"kty": "oct", "k": "AAAA"}), ErrInvalid},
		"a key's address in the header":               {header("jku", "https://evil.example/keys"), ErrInvalid},
		"a critical extension":                        {header("crit", []string{"b64"}), ErrInvalid},
		"typ of another kind of token":                {header("typ", "at+jwt"), ErrInvalid},
		"of another issuer":                           {claim("iss", "https://evil.example"), ErrInvalid},
		"without issuer":                              {claim("iss", nil), ErrInvalid},
		"for another audience":                        {claim("aud", "seri:api"), ErrInvalid},
		"for several audiences":                       {claim("aud", []string{"seri:live", "seri:api"}), ErrInvalid},
		"without audience":                            {claim("aud", nil), ErrInvalid},
		"without expiry":                              {claim("exp", nil), ErrInvalid},
		"that lasts a hundred years":                  {claim("exp", far), ErrInvalid},
		"with an expiry that is text":                 {claim("exp", "tomorrow"), ErrInvalid},
		"made in the future":                          {claim("iat", float64(now.Add(time.Hour).Unix())), ErrInvalid},
		"without the time at which it was made":       {claim("iat", nil), ErrInvalid},
		"not valid yet":                               {claim("nbf", float64(now.Add(time.Hour).Unix())), ErrInvalid},
		"without an id":                               {claim("jti", nil), ErrInvalid},
		"without a scope":                             {claim("scope", nil), ErrInvalid},
		"with an empty scope":                         {claim("scope", map[string]any{}), ErrInvalid},
		"with a scope of an empty task":               {claim("scope", map[string]any{"tasks": []string{""}}), ErrInvalid},
		"oversize":                                    {claim("x", strings.Repeat("x", MaxBytes)), ErrInvalid},
		"oversize without a dot":                      {strings.Repeat("x", 1<<20), ErrInvalid},
		"thousands of dots":                           {strings.Repeat(".", MaxBytes), ErrInvalid},
		"header that is no JSON":                      {sign(base64.RawURLEncoding.EncodeToString([]byte("{"))+"."+parts[1], secret), ErrInvalid},
		"claims that are no object":                   {sign(parts[0]+"."+part([]int{1}), secret), ErrInvalid},
		"five parts, as an encrypted token has":       {"a.b.c.d.e", ErrInvalid},
	}
	if len(tokens) < 40 {
		t.Errorf("the table has %d tokens", len(tokens))
	}
	for name, c := range tokens {
		at := now
		if c.want == ErrExpired {
			at = now.Add(time.Minute)
		}
		if p, err := r.Check(c.text, at); !errors.Is(err, c.want) || p.ID != "" {
			t.Errorf("%s: got %+v, %v", name, p, err)
		}
	}
	if _, err := r.Check(good, now); err != nil {
		t.Errorf("the token that they were made from is refused itself: %v", err)
	}

	var table strings.Builder
	for _, name := range slices.Sorted(maps.Keys(tokens)) {
		fmt.Fprintf(&table, "| %s | %v |\n", name, tokens[name].want)
	}
	compareTable(t, table.String())
}

const tableFile = "../../docs/bad-tokens.md"

// compareTable compares the documented table of bad tokens with what was tried, or renews it.
func compareTable(t *testing.T, rows string) {
	t.Helper()
	page, err := os.ReadFile(tableFile)
	if err != nil {
		t.Fatal(err)
	}
	head, _, found := strings.Cut(string(page), "|---|---|\n")
	want := head + "|---|---|\n" + rows
	switch {
	case !found:
		t.Errorf("%s has no table", tableFile)
	case *update:
		if err := os.WriteFile(tableFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	case string(page) != want:
		t.Errorf("%s is not what was tried; renew it by go test ./internal/token -update", tableFile)
	}
}

func flip(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

// loosen sets bits of the last character that decode to nothing.
func loosen(text string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	i := strings.IndexByte(alphabet, text[len(text)-1])
	return text[:len(text)-1] + string(alphabet[i^1])
}

func named(r *Ring, id string) *Ring {
	r.keys[0].id = id
	return r
}

func TestSecretsAreChangedWithoutAMomentOfRefusal(t *testing.T) {
	before, during, after := ring(t, "old"), ring(t, "new", "old"), ring(t, "new")
	scope := Scope{Owner: "user:1"}
	old, fresh := mint(t, before, Pass{Scope: scope}), mint(t, during, Pass{Scope: scope})

	for name, c := range map[string]struct {
		ring *Ring
		text string
		want error
	}{
		"an old token while both are there":       {during, old, nil},
		"a new token while both are there":        {during, fresh, nil},
		"a new token when the old secret is gone": {after, fresh, nil},
		"an old token when its secret is gone":    {after, old, ErrInvalid},
		"a new token at a server of before":       {before, fresh, ErrInvalid},
	} {
		if _, err := c.ring.Check(c.text, now); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestScopeCoversWhatAllOfItSays(t *testing.T) {
	info := seri.Info{ID: "t1", Owner: "user:1", Queue: "q"}
	for name, c := range map[string]struct {
		scope Scope
		want  bool
	}{
		"nothing":                    {Scope{}, false},
		"the task":                   {Scope{Tasks: []string{"t0", "t1"}}, true},
		"another task":               {Scope{Tasks: []string{"t0"}}, false},
		"the owner":                  {Scope{Owner: "user:1"}, true},
		"another owner":              {Scope{Owner: "user:10"}, false},
		"the queue":                  {Scope{Queues: []string{"q"}}, true},
		"the task, in another queue": {Scope{Tasks: []string{"t1"}, Queues: []string{"r"}}, false},
		"all of it":                  {Scope{Tasks: []string{"t1"}, Owner: "user:1", Queues: []string{"r", "q"}}, true},
	} {
		if got := c.scope.Covers(info); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestMintRefusesWhatCheckWould(t *testing.T) {
	r := ring(t, "a")
	for name, c := range map[string]struct {
		scope Scope
		ttl   time.Duration
	}{
		"no scope":        {Scope{}, time.Minute},
		"too short":       {Scope{Owner: "x"}, time.Second},
		"too long":        {Scope{Owner: "x"}, 13 * time.Hour},
		"too many tasks":  {Scope{Tasks: make([]string, MaxNames+1)}, time.Minute},
		"an empty queue":  {Scope{Queues: []string{""}}, time.Minute},
		"names too long":  {Scope{Tasks: many(strings.Repeat("x", 256))}, time.Minute},
		"a name too long": {Scope{Owner: strings.Repeat("x", 257)}, time.Minute},
	} {
		if text, _, err := r.Mint(Pass{Scope: c.scope}, c.ttl, now); err == nil {
			t.Errorf("%s: got %s", name, text)
		}
	}
}

func many(name string) []string {
	names := make([]string, MaxNames)
	for i := range names {
		names[i] = name
	}
	return names
}

func TestParseSaysWhatIsWrongAndRepeatsNoSecret(t *testing.T) {
	short := base64.StdEncoding.EncodeToString([]byte("short and to the point"))
	_, err := Parse("# comment\nnocolon\nbad id:" + short + "\na:" + short + ",b:!!!")

	if err == nil {
		t.Fatal("it was taken")
	}
	for _, want := range []string{"token secret 1: must be id:base64", "token secret 2: the id must", "token secret 3: the secret of a must", "token secret 4: the secret of b must"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), short) {
		t.Error("it repeats a secret")
	}
	if r, err := Parse("\n# none\n"); r != nil || err != nil {
		t.Errorf("without entries: %v, %v", r, err)
	}
}

func FuzzCheck(f *testing.F) {
	r := Development()
	text, _, err := r.Mint(Pass{Scope: Scope{Owner: "x"}}, time.Minute, now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, other string) {
		if p, err := r.Check(other, now); err == nil && other != text && p.Scope.empty() {
			t.Errorf("%q was taken", other)
		}
	})
}
