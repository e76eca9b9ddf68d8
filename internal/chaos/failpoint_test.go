package chaos_test

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// failpoints lets a process fail at an exact place: just before, or just after, a given script runs.
//
// It is a hook of the Redis client, which only the processes of this suite put in. So Seri's own code has no fail-points
// at all, neither behind a build tag nor behind a variable: every transition is one script, and between two scripts there
// is nothing that could be half done.
type failpoints struct {
	ledger *ledger

	mu    sync.Mutex
	names map[string]string                                 // of scripts, by their digest
	armed map[string]string                                 // what is to happen once, by the name of a script
	seen  func(script string, asked int64, cmd redis.Cmder) // is told of every script that has run, and when it was sent (µs)
}

// What may be armed.
const (
	stopBefore  = "stop"       // SIGSTOP before the call is sent: it is sent when somebody lets the process go on
	killBefore  = "kill"       // SIGKILL before the call is sent
	killAfter   = "kill-after" // SIGKILL when the call was answered
	loseReply   = "lose"       // the call runs and its answer is lost
	deliverLate = "late"       // the call seems to be lost, and arrives one to three leases later
)

func newFailpoints(l *ledger) *failpoints {
	return &failpoints{ledger: l, names: make(map[string]string), armed: make(map[string]string)}
}

// arm has the next call of a script meet its fate. The line is "script action".
func (f *failpoints) arm(line string) {
	script, action, found := strings.Cut(line, " ")
	if !found {
		fmt.Fprintf(os.Stderr, "fail-points: cannot read %q\n", line)
		os.Exit(4)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed[script] = action
}

var errReplyLost = &net.OpError{Op: "read", Net: "tcp", Err: errors.New("the answer was lost (fail-point)")}

// ProcessHook implements [redis.Hook].
func (f *failpoints) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		script, known := f.script(cmd)
		if !known {
			// Told that Redis does not know the script, the caller sends its source, from which we learn its name.
			err := redisError("NOSCRIPT No matching script. (fail-points want to see it)")
			cmd.SetErr(err)
			return err
		}
		action := f.take(script)
		if action != "" {
			f.ledger.note(noteFired, script, 0, action)
		}
		switch action {
		case stopBefore:
			signalSelf(syscall.SIGSTOP)
		case killBefore:
			signalSelf(syscall.SIGKILL)
		case deliverLate:
			go func() { // it is under way, whatever its caller does
				<-time.After(leaseLength + rand.N(2*leaseLength))
				_ = next(context.WithoutCancel(ctx), redis.NewCmd(ctx, cmd.Args()...)) // nobody waits for what it answers
			}()
			cmd.SetErr(errReplyLost)
			return errReplyLost
		}
		asked := trueNow()
		err := next(ctx, cmd)
		switch action {
		case killAfter:
			signalSelf(syscall.SIGKILL)
		case loseReply:
			cmd.SetErr(errReplyLost)
			return errReplyLost
		}
		if f.seen != nil && script != "" && err == nil {
			f.seen(script, asked, cmd)
		}
		return err
	}
}

// ProcessPipelineHook implements [redis.Hook].
func (f *failpoints) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// DialHook implements [redis.Hook].
func (f *failpoints) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f *failpoints) take(script string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	action := f.armed[script]
	delete(f.armed, script)
	return action
}

// script returns the name of the script that cmd runs; empty if it runs none. It is not known if its digest is new.
func (f *failpoints) script(cmd redis.Cmder) (name string, known bool) {
	args := cmd.Args()
	if len(args) < 2 {
		return "", true
	}
	text, _ := args[1].(string)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch strings.ToLower(cmd.Name()) {
	case "eval":
		sum := sha1.Sum([]byte(text))
		name = nameOf(text)
		f.names[hex.EncodeToString(sum[:])] = name
		return name, true
	case "evalsha":
		name, known = f.names[text]
		return name, known
	}
	return "", true
}

// contract finds the first line of the header of a script: the comment that goes on with the script's KEYS.
var contract = regexp.MustCompile(`(?m)^-- ([a-z]+) .*\n(?:-- .*\n)*--\n-- KEYS`)

func nameOf(source string) string {
	match := contract.FindStringSubmatch(source)
	if match == nil {
		return "nameless"
	}
	return match[1]
}

type redisError string

func (e redisError) Error() string { return string(e) }
func (redisError) RedisError()     {}

func signalSelf(s syscall.Signal) {
	if err := syscall.Kill(os.Getpid(), s); err != nil {
		fmt.Fprintln(os.Stderr, "fail-points:", err)
		os.Exit(4)
	}
}
