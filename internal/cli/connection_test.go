package cli

import "testing"

func TestTheAPIIsLookedForWhereItListens(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"":               "http://127.0.0.1:8080",
		"nonsense":       "http://127.0.0.1:8080",
		":9000":          "http://127.0.0.1:9000",
		"0.0.0.0:9000":   "http://127.0.0.1:9000",
		"[::]:9000":      "http://127.0.0.1:9000",
		"[::1]:9000":     "http://[::1]:9000",
		"localhost:9000": "http://localhost:9000",
		"10.1.2.3:9000":  "http://10.1.2.3:9000",
	} {
		if got := listening(addr); got != want {
			t.Errorf("an api that listens at %q is looked for at %q, want %q", addr, got, want)
		}
	}
}
