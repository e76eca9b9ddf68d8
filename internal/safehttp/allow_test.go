package safehttp

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestAllowListOpensWhatItSays(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		entry  string
		opens  []string // URLs
		closed []string
	}{
		"a name, on the usual ports": {
			entry:  "private.test",
			opens:  []string{"http://private.test/", "https://PRIVATE.test./"},
			closed: []string{"http://private.test:8080/", "http://10.0.0.5/", "http://x.private.test/"},
		},
		"a name and a port": {
			entry:  "private.test:8080",
			opens:  []string{"http://private.test:8080/"},
			closed: []string{"http://private.test/", "http://public.test:8080/", "http://10.0.0.5:8080/"},
		},
		"a name on every port": {
			entry: "Private.Test:*",
			opens: []string{"http://private.test/", "http://private.test:1/", "https://private.test:65535/"},
		},
		"all names below one": {
			entry:  "*.test:9000",
			opens:  []string{"http://private.test:9000/", "http://public.test:9000/"},
			closed: []string{"http://test:9000/", "http://private.test/"},
		},
		"an address, whatever name leads there": {
			entry:  "10.0.0.5",
			opens:  []string{"http://10.0.0.5/", "http://private.test/", "http://[::ffff:10.0.0.5]/"},
			closed: []string{"http://10.0.0.6/", "http://10.0.0.5:8080/"},
		},
		"a network and a port": {
			entry:  "10.0.0.0/8:8080",
			opens:  []string{"http://private.test:8080/", "http://10.255.0.1:8080/"},
			closed: []string{"http://10.0.0.1/", "http://11.0.0.1:8080/"},
		},
		"an IPv6 network and a port": {
			entry:  "[fd00::/8]:8080",
			opens:  []string{"http://ula.test:8080/", "http://[fd12::1]:8080/"},
			closed: []string{"http://[fd12::1]/", "http://[fc00::1]:8080/"},
		},
		"an IPv6 address": {
			entry: "::1",
			opens: []string{"http://[::1]/", "http://loopback6.test/"},
		},
		"an IPv6 address in brackets": {
			entry: "[::1]",
			opens: []string{"http://[::1]/"},
		},
		"a public host on another port": {
			entry: "public.test:8443",
			opens: []string{"https://public.test:8443/", "https://public.test/"},
		},
		"everything, by both networks": {
			entry: "0.0.0.0/0:*",
			opens: []string{"http://127.0.0.1:1/", "http://private.test:2/"},
			// schemes have no entry
			closed: []string{"ftp://private.test/", "http://[::1]/"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := newClient(t, names(), c.entry)
			for _, url := range c.opens {
				if _, err := client.Get(url); !errors.Is(err, errReached) {
					t.Errorf("%s: got %v, want a connection", url, err)
				}
			}
			for _, url := range c.closed {
				if _, err := client.Get(url); err == nil || errors.Is(err, errReached) {
					t.Errorf("%s: got %v, want an error", url, err)
				}
			}
		})
	}
}

func TestAllowListNamesEveryFault(t *testing.T) {
	t.Parallel()
	faults := map[string]string{ // entry → what its error must say
		"":                      "empty",
		"   ":                   "empty",
		"http://host":           "not a URL",
		"host/path":             "such as 10.0.0.0/8",
		"10.0.0.1/8":            "10.0.0.0/8",
		"::ffff:10.0.0.0/104":   "IPv4 notation",
		"host:":                 "port must follow",
		"host:http":             "between 1 and 65535",
		"host:0":                "between 1 and 65535",
		"host:65536":            "between 1 and 65535",
		"[::1":                  `has no "]"`,
		"[::1]8080":             "colon and a port",
		"[::1]:":                "colon and a port",
		"*":                     "0.0.0.0/0",
		"*.*.example.com":       "not a host name",
		"a..b":                  "not a host name",
		"exa mple.com":          "not a host name",
		"bücher.example":        "not a host name",
		"1:2:3":                 "not a host name",
		"0177.0.0.1":            "four decimal numbers",
		"2130706433":            "four decimal numbers",
		strings.Repeat("a", 64): "not a host name",
	}
	var entries []string
	for entry := range faults {
		entries = append(entries, entry)
	}

	_, err := ParseAllowList(append(entries, "fine.example.com"))

	if err == nil {
		t.Fatal("it was accepted")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(faults) {
		t.Errorf("got %d faults, want %d:\n%v", len(lines), len(faults), err)
	}
	for entry, want := range faults {
		if _, err := ParseAllowList([]string{entry}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want a word of %q", entry, err, want)
		}
	}
}

// FuzzParseAllowList looks for entries that open more than a reader would think: only one that names the metadata
// address, a network, or the name that leads there may open it.
func FuzzParseAllowList(f *testing.F) {
	for _, seed := range []string{"host", "*.x.y:80", "10.0.0.0/8", "[fd00::/8]:1", "host:*", "1.2.3.4:5"} {
		f.Add(seed)
	}
	metadata := netip.MustParseAddr("169.254.169.254")
	telling := []string{"169.254.169.254", "a9fe", "/", "test"}
	f.Fuzz(func(t *testing.T, entry string) {
		list, err := ParseAllowList([]string{entry})
		if err != nil || !list.permits("metadata.test", metadata, 80) {
			return
		}
		told := func(word string) bool { return strings.Contains(strings.ToLower(entry), word) }
		if !slices.ContainsFunc(telling, told) {
			t.Errorf("entry %q opens the metadata address", entry)
		}
	})
}
