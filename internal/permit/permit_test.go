package permit_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/permit"
	"github.com/seri-queue/seri/internal/redistest"
)

// as returns a client that comes in as a user with these rules.
func as(t *testing.T, server *redistest.Server, rules ...any) *redis.Client {
	t.Helper()
	name := strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-"))
	if err := server.Client().Do(t.Context(), append([]any{"ACL", "SETUSER", name, "reset", "on", ">pw"}, rules...)...).Err(); err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(&redis.Options{Addr: server.Addr(), Username: name, Password: "pw", MaxRetries: -1})
	t.Cleanup(func() { c.Close() })
	return c
}

func TestWhatIsDeniedIsFoundBeforeAnythingIsWritten(t *testing.T) {
	t.Parallel()
	server := redistest.Exclusive(t)
	need := permit.Need{
		Scripts: []string{"local call = redis.call\ncall('SET', KEYS[1], redis.pcall('TIME')[1])", "call('ZREM', k, 1) call('PUBLISH', 'news', 'x')"},
		Keys:    []string{"{a}1", "{a}2"},
		Channel: "news",
	}
	for sentence, c := range map[string]struct {
		rules           []any
		commands, pairs []string
	}{
		"all is allowed":                    {[]any{"~*", "&*", "+@all"}, nil, nil},
		"just what it takes is allowed":     {[]any{"~{a}*", "&news", "+eval", "+evalsha", "+set", "+time", "+zrem", "+publish"}, nil, nil},
		"one command is missing":            {[]any{"~*", "&*", "+@all", "-zrem"}, []string{"ZREM"}, nil},
		"one that takes no key is missing":  {[]any{"~*", "&*", "+@all", "-time"}, []string{"TIME"}, nil},
		"one key is out of reach":           {[]any{"~{a}1", "&*", "+@all"}, nil, []string{"SET {a}2", "ZREM {a}2"}},
		"one key may be read only":          {[]any{"~{a}1", "%R~{a}2", "&*", "+@all"}, nil, []string{"SET {a}2", "ZREM {a}2"}},
		"the channel is out of reach":       {[]any{"~*", "resetchannels", "&other", "+@all"}, nil, []string{"PUBLISH news"}},
		"scripts are not allowed":           {[]any{"~*", "&*", "+@all", "-eval", "-evalsha"}, []string{"EVAL and EVALSHA"}, nil},
		"only known scripts may be sent":    {[]any{"~*", "&*", "+@all", "-evalsha"}, []string{"EVAL and EVALSHA"}, nil},
		"two commands are missing, not one": {[]any{"~*", "&*", "+@all", "-zrem", "-set"}, []string{"SET", "ZREM"}, nil},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()

			err := permit.Check(t.Context(), as(t, server, c.rules...), need)

			denied, found := errors.AsType[*permit.DeniedError](err)
			if c.commands == nil && c.pairs == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !found || !slices.Equal(denied.Commands, c.commands) || !slices.Equal(denied.Pairs, c.pairs) {
				t.Fatalf("found %+v (%v)", denied, err)
			}
			for _, what := range slices.Concat(c.commands, c.pairs) {
				if !strings.Contains(err.Error(), what) {
					t.Errorf("%q does not name %s", err, what)
				}
			}
		})
	}
	more := need
	more.Commands = [][]string{
		{"TIME"}, {"BLMOVE", "{a}1", "{a}2", "RIGHT", "RIGHT", "0"}, {"SUBSCRIBE", "news"}, {"XREAD", "BLOCK", "1", "STREAMS", "{a}2", "0"}, {"ZREM", "{b}1", "x"},
	}
	for sentence, c := range map[string]struct {
		rules   []any
		refused string
	}{
		"all else is allowed, too":                  {[]any{"~*", "&*", "+@all"}, ""},
		"one that blocks is missing":                {[]any{"~*", "&*", "+@all", "-blmove"}, "BLMOVE {a}1"},
		"one that subscribes is missing":            {[]any{"~*", "&*", "+@all", "-subscribe"}, "SUBSCRIBE news"},
		"its channel may not be heard":              {[]any{"~*", "resetchannels", "+@all"}, "PUBLISH news, SUBSCRIBE news"},
		"one that reads a stream is missing":        {[]any{"~*", "&*", "+@all", "-xread"}, "XREAD BLOCK"},
		"a second key is out of reach":              {[]any{"~{a}1", "%R~{a}2", "~{b}1", "&*", "+@all"}, "BLMOVE {a}1, SET {a}2, ZREM {a}2"},
		"a key that no script has is out of reach":  {[]any{"~{a}*", "&*", "+@all"}, "ZREM {b}1"},
		"one that scripts have, too, is missing":    {[]any{"~*", "&*", "+@all", "-zrem"}, "ZREM:"},
		"one that takes no key is missing, as such": {[]any{"~*", "&*", "+@all", "-time"}, "TIME:"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()

			err := permit.Check(t.Context(), as(t, server, c.rules...), more)

			if c.refused == "" && err != nil || c.refused != "" && (err == nil || !strings.Contains(err.Error(), "denies this user "+c.refused)) {
				t.Errorf("found %v, want %q", err, c.refused)
			}
		})
	}
	t.Cleanup(func() { // when the subtests are over
		if n := server.Client().DBSize(t.Context()).Val(); n != 0 {
			t.Errorf("asking has written %d keys", n)
		}
	})
}

func TestALongListIsCutInTheErrorAndNotInItsFields(t *testing.T) {
	t.Parallel()
	err := &permit.DeniedError{Commands: []string{"A", "B", "C"}, Pairs: []string{"D 1", "E 2", "F 3", "G 4"}}

	if text := err.Error(); !strings.Contains(text, "A, B, C, D 1, E 2 and 2 more:") {
		t.Error(text)
	}
}

func TestAServerThatCannotTellDeniesNothing(t *testing.T) {
	t.Parallel()
	need := permit.Need{Scripts: []string{"call('SET')"}, Keys: []string{"a"}}

	if err := permit.Check(t.Context(), redistest.Embedded(t), need); err != nil {
		t.Error(err)
	}
}

func TestASilentServerIsNotTakenForOneThatDenies(t *testing.T) {
	t.Parallel()
	nobody := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	t.Cleanup(func() { nobody.Close() })

	err := permit.Check(t.Context(), nobody, permit.Need{Keys: []string{"a"}})

	if _, denied := errors.AsType[*permit.DeniedError](err); denied || err == nil {
		t.Errorf("answered %v", err)
	}
}
