// Package cloudwatch ships a log to Amazon CloudWatch Logs, and reads back what a task has written there.
//
//	sink := cloudwatch.New(client, cloudwatch.Config{Group: "/seri/worker", Stream: "worker/7"})
//	logger := slog.New(slog.NewJSONHandler(sink, nil))
//	err := sink.Run(ctx) // ships until ctx ends, and then what is left
//
// A [Sink] takes lines without ever waiting for anybody: what CloudWatch does not take in time is kept, up to a bound, and
// beyond it the oldest lines are dropped, counted, and told of in the log itself. In ECS nothing of this is needed: the
// log driver ships what a container prints.
package cloudwatch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/seri-queue/seri/internal/meter"
	"github.com/seri-queue/seri/internal/pause"
)

// The limits of a call of PutLogEvents.
const (
	maxEvents   = 10_000
	maxBytes    = 1 << 20 // of messages, and of eventBytes for each
	eventBytes  = 26
	maxMessage  = 256<<10 - eventBytes
	maxSpan     = 24 * time.Hour // from the first event to the last
	callTimeout = 15 * time.Second
)

// Writer is what a sink needs of CloudWatch; [*cloudwatchlogs.Client] has it.
type Writer interface {
	PutLogEvents(ctx context.Context, in *cloudwatchlogs.PutLogEventsInput, options ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.PutLogEventsOutput, error)
	CreateLogGroup(ctx context.Context, in *cloudwatchlogs.CreateLogGroupInput, options ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.CreateLogGroupOutput, error)
	CreateLogStream(ctx context.Context, in *cloudwatchlogs.CreateLogStreamInput, options ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.CreateLogStreamOutput, error)
}

// Config tunes a [Sink]. Group and Stream are required; both are made if they do not exist.
type Config struct {
	Group, Stream string
	// Buffer bounds the bytes of lines that wait. Default: 8 MiB, about a minute of a busy worker.
	Buffer int
	// Wait is how long a line waits for others, to be shipped with them. Default: 1 s.
	Wait time.Duration
	// Flush is how long lines are still shipped when the sink is to end. Default: 5 s.
	Flush time.Duration
	// Aside is told, in a line, what cannot be told in the log: that CloudWatch does not take it. Default: nobody.
	Aside io.Writer
}

// Sink is a destination for the lines of a log, one for each call of [Sink.Write]. Make it with [New].
type Sink struct {
	to     Writer
	config Config
	more   chan struct{} // holds an element when a batch may be full

	shipped, dropped meter.Counter

	mu      sync.Mutex
	waiting []line // the oldest first
	bytes   int    // of them, as the buffer counts
	untold  int    // lines that were dropped and not told of
}

type line struct {
	text string
	at   time.Time
}

// lineBytes is what a line costs beside its text, in the buffer.
const lineBytes = 64

// New returns a sink for one stream; nothing is shipped until [Sink.Run].
func New(to Writer, config Config) *Sink {
	config.Buffer = cmp.Or(config.Buffer, 8<<20)
	config.Wait = cmp.Or(config.Wait, time.Second)
	config.Flush = cmp.Or(config.Flush, 5*time.Second)
	config.Aside = cmp.Or(config.Aside, io.Discard)
	return &Sink{to: to, config: config, more: make(chan struct{}, 1)}
}

// Write takes one line. It never fails and waits for nobody.
func (s *Sink) Write(b []byte) (int, error) {
	text := message(b)
	if text == "" {
		return len(b), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, line{text, time.Now()})
	s.bytes += len(text) + lineBytes
	for s.bytes > s.config.Buffer && len(s.waiting) > 1 {
		s.bytes -= len(s.waiting[0].text) + lineBytes
		s.waiting[0] = line{}
		s.waiting = s.waiting[1:]
		s.untold++
		s.dropped.Add(1)
	}
	if s.bytes >= maxBytes || len(s.waiting) >= maxEvents {
		select {
		case s.more <- struct{}{}:
		default:
		}
	}
	return len(b), nil
}

// message makes a line what CloudWatch takes: valid UTF-8, not too long, without the end of the line.
func message(b []byte) string {
	text := strings.ToValidUTF8(string(bytes.TrimRight(b, "\r\n")), "\uFFFD")
	if len(text) <= maxMessage {
		return text
	}
	const mark = "… (cut)"
	end := maxMessage - len(mark)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + mark
}

// Measure implements [meter.Source].
func (s *Sink) Measure(_ context.Context, report meter.Report) {
	report.Value(meter.LinesShipped, s.shipped.Load(), "shipped")
	report.Value(meter.LinesShipped, s.dropped.Load(), "dropped")
}

// Dropped returns how many lines were dropped so far.
func (s *Sink) Dropped() int { return int(s.dropped.Load()) }

// Run ships lines until ctx ends, and then what is left, for as long as [Config.Flush] says.
func (s *Sink) Run(ctx context.Context) error {
	shipping, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(ctx, func() {
		pause.For(shipping, s.config.Flush)
		giveUp()
	})()
	for ctx.Err() == nil {
		timer := time.NewTimer(s.config.Wait)
		select {
		case <-ctx.Done():
		case <-s.more:
		case <-timer.C:
		}
		timer.Stop()
		s.drain(shipping, ctx.Done())
	}
	s.drain(shipping, ctx.Done())
	s.mu.Lock()
	left := len(s.waiting)
	s.waiting, s.bytes = nil, 0
	s.mu.Unlock()
	if left > 0 {
		s.dropped.Add(left)
		s.aside("%d lines of the log were not shipped to CloudWatch before the end", left)
	}
	return nil
}

func (s *Sink) aside(format string, args ...any) {
	fmt.Fprintf(s.config.Aside, "cloudwatch: "+format+"\n", args...)
}

// drain ships what is waiting, batch by batch; what comes in meanwhile waits for the next time, unless it is a full batch.
// ending is closed when the sink is to end, and ctx ends when it must have.
func (s *Sink) drain(ctx context.Context, ending <-chan struct{}) {
	for full := true; full && ctx.Err() == nil; {
		var batch []line
		if batch, full = s.take(); len(batch) == 0 {
			return
		}
		s.ship(ctx, ending, batch)
	}
}

// take takes the next batch, as large as CloudWatch allows and in the order of time; full tells that there are more lines than fit.
func (s *Sink) take() (batch []line, full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		return nil, false
	}
	first, last, size := s.waiting[0].at, s.waiting[0].at, 0
	if s.untold > 0 {
		batch = append(batch, s.gap(first))
		size, s.untold = len(batch[0].text)+eventBytes, 0
	}
	n := 0
	for _, l := range s.waiting {
		size += len(l.text) + eventBytes
		if l.at.Before(first) {
			first = l.at
		} else if l.at.After(last) {
			last = l.at
		}
		if len(batch) == maxEvents || size > maxBytes || last.Sub(first) >= maxSpan {
			full = true
			break
		}
		batch = append(batch, l)
		s.bytes -= len(l.text) + lineBytes
		s.waiting[n] = line{}
		n++
	}
	if s.waiting = s.waiting[n:]; len(s.waiting) == 0 {
		s.waiting = nil
	}
	slices.SortStableFunc(batch, func(a, b line) int { return a.at.Compare(b.at) }) // the clock may have been set back
	return batch, full
}

// gap is a line that tells of those that were dropped before it.
func (s *Sink) gap(at time.Time) line {
	return line{fmt.Sprintf(`{"time":%q,"level":"WARN","msg":"lines of the log were dropped: CloudWatch did not take them in time","count":%d}`,
		at.Format(time.RFC3339Nano), s.untold), at}
}

// The pauses between tries: a random part of one that doubles, so that those who were throttled together come back apart.
const (
	firstPause = 100 * time.Millisecond
	mostPause  = 2 * time.Second        // a try a second on average: as often as a sink calls that nobody throttles
	lastPause  = 400 * time.Millisecond // the same in the few seconds that are left once the sink is to end
)

// ship hands a batch to CloudWatch, again and again until it is taken or can never be, or ctx ends; then it goes back to
// where it was.
func (s *Sink) ship(ctx context.Context, ending <-chan struct{}, batch []line) {
	told, made := false, false
	for limit := firstPause; ; limit = min(2*limit, mostPause) {
		err := s.put(ctx, batch)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			s.giveBack(batch)
			return
		}
		switch {
		case is[*types.ResourceNotFoundException](err):
			if err = s.create(ctx); err == nil && !made {
				made = true
				continue
			}
			err = cmp.Or(err, errStillMissing)
		case is[*types.InvalidParameterException](err) && len(batch) > 1: // one of them must be what it does not like
			s.ship(ctx, ending, batch[:len(batch)/2])
			s.ship(ctx, ending, batch[len(batch)/2:])
			return
		case is[*types.InvalidParameterException](err):
			s.drop(1)
			s.aside("a line of the log was refused: %v", err)
			return
		}
		if !told { // once for each batch, at most
			s.aside("the log is not shipped: %v; it is tried again", err)
			told = true
		}
		rest(ctx, ending, limit)
	}
}

// rest pauses for a random part of limit. The end cuts it short.
func rest(ctx context.Context, ending <-chan struct{}, limit time.Duration) {
	timer := time.NewTimer(rand.N(limit))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-ending:
		pause.For(ctx, rand.N(min(limit, lastPause)))
	}
}

// errStillMissing is what a stream that was made and is not there yet amounts to.
var errStillMissing = errors.New("the stream is made, and is not there yet")

func is[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}

func (s *Sink) put(ctx context.Context, batch []line) error {
	events := make([]types.InputLogEvent, len(batch))
	for i := range batch {
		events[i] = types.InputLogEvent{Message: &batch[i].text, Timestamp: aws.Int64(batch[i].at.UnixMilli())}
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := s.to.PutLogEvents(call, &cloudwatchlogs.PutLogEventsInput{
		LogGroupName: &s.config.Group, LogStreamName: &s.config.Stream, LogEvents: events,
	}, once)
	if err != nil {
		return err
	}
	refused := refusedOf(answer.RejectedLogEventsInfo, len(batch))
	s.shipped.Add(len(batch) - refused)
	if refused > 0 {
		s.drop(refused)
		s.aside("%d lines of the log were refused: they are too old or too new by CloudWatch's clock", refused)
	}
	return nil
}

// refusedOf counts the events that were refused for their times: those up to one place, and those from another on.
func refusedOf(info *types.RejectedLogEventsInfo, n int) int {
	if info == nil {
		return 0
	}
	before := max(aws.ToInt32(info.TooOldLogEventEndIndex), aws.ToInt32(info.ExpiredLogEventEndIndex))
	refused := min(int(before), n)
	if info.TooNewLogEventStartIndex != nil {
		refused += max(n-max(int(*info.TooNewLogEventStartIndex), refused), 0)
	}
	return refused
}

// once keeps the client from trying again by itself: the sink does, with the pauses and for the time that it wants.
func once(o *cloudwatchlogs.Options) { o.Retryer = aws.NopRetryer{} }

// create makes the group and the stream. Another process may do so at the same time.
func (s *Sink) create(ctx context.Context) error {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := s.to.CreateLogStream(call, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &s.config.Group, LogStreamName: &s.config.Stream}, once)
	if is[*types.ResourceNotFoundException](err) {
		_, err = s.to.CreateLogGroup(call, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &s.config.Group}, once)
		if err == nil || is[*types.ResourceAlreadyExistsException](err) {
			_, err = s.to.CreateLogStream(call, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &s.config.Group, LogStreamName: &s.config.Stream}, once)
		}
	}
	if is[*types.ResourceAlreadyExistsException](err) {
		return nil
	}
	return err
}

// drop notes lines that are lost, to be told of.
func (s *Sink) drop(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.untold += n
	s.dropped.Add(n)
}

// giveBack puts lines back that the end has come for, so that they are counted.
func (s *Sink) giveBack(batch []line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = slices.Concat(batch, s.waiting)
}
