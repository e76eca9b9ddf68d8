// Package cloudwatchtest is a CloudWatch Logs for tests. It is strict: a call that goes beyond any limit of the real one
// fails, as does one for a group or stream that nobody has made.
package cloudwatchtest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

// Event is one event of a stream.
type Event struct {
	At      time.Time
	Message string
}

// Service is the fake. The zero value is empty and ready to use.
type Service struct {
	// Fault, if not nil, is asked before each call by its name; what it returns the call fails with. It may block.
	Fault func(ctx context.Context, call string) error
	// Now is its clock. nil: time.Now.
	Now func() time.Time
	// Retention is how long groups keep events. 0: for ever.
	Retention time.Duration

	mu     sync.Mutex
	groups map[string]map[string][]Event
	calls  map[string]int
	wrong  []string
}

// Violations are the calls that went beyond a limit.
func (s *Service) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.wrong)
}

// Calls counts the calls of a name that reached it.
func (s *Service) Calls(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[name]
}

// Events returns what a stream holds, in the order in which it came.
func (s *Service) Events(group, stream string) []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.groups[group][stream])
}

func (s *Service) enter(ctx context.Context, call string) error {
	if s.Fault != nil {
		if err := s.Fault(ctx, call); err != nil {
			return err
		}
	}
	s.mu.Lock()
	if s.calls == nil {
		s.calls, s.groups = make(map[string]int), make(map[string]map[string][]Event)
	}
	s.calls[call]++
	return nil
}

func (s *Service) invalid(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	s.wrong = append(s.wrong, text)
	return &types.InvalidParameterException{Message: &text}
}

// PutLogEvents stores events, if they keep to all limits.
func (s *Service) PutLogEvents(ctx context.Context, in *cloudwatchlogs.PutLogEventsInput, _ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.PutLogEventsOutput, error) {
	if err := s.enter(ctx, "PutLogEvents"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	events, there := s.groups[*in.LogGroupName][*in.LogStreamName]
	if !there {
		return nil, &types.ResourceNotFoundException{Message: aws.String("The specified log stream does not exist.")}
	}
	if n := len(in.LogEvents); n < 1 || n > 10_000 {
		return nil, s.invalid("%d events", n)
	}
	size := 0
	for i, e := range in.LogEvents {
		text, at := aws.ToString(e.Message), aws.ToInt64(e.Timestamp)
		size += len(text) + 26
		switch {
		case text == "":
			return nil, s.invalid("event %d is empty", i)
		case len(text) > 262_118:
			return nil, s.invalid("event %d has %d bytes", i, len(text))
		case !utf8.ValidString(text):
			return nil, s.invalid("event %d is not UTF-8", i)
		case i > 0 && at < aws.ToInt64(in.LogEvents[i-1].Timestamp):
			return nil, s.invalid("event %d is earlier than the one before it", i)
		case at-aws.ToInt64(in.LogEvents[0].Timestamp) > (24 * time.Hour).Milliseconds():
			return nil, s.invalid("event %d is more than 24 hours after the first", i)
		}
	}
	if size > 1_048_576 {
		return nil, s.invalid("%d bytes", size)
	}
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	oldest, newest := now().Add(-14*24*time.Hour), now().Add(2*time.Hour)
	expired := time.Time{}
	if s.Retention > 0 {
		expired = now().Add(-s.Retention)
	}
	var refused types.RejectedLogEventsInfo
	some := false
	for i, e := range in.LogEvents {
		switch at := time.UnixMilli(*e.Timestamp); {
		case at.Before(oldest):
			refused.TooOldLogEventEndIndex, some = aws.Int32(int32(i+1)), true
		case at.Before(expired):
			refused.ExpiredLogEventEndIndex, some = aws.Int32(int32(i+1)), true
		case at.After(newest):
			if refused.TooNewLogEventStartIndex == nil {
				refused.TooNewLogEventStartIndex, some = aws.Int32(int32(i)), true
			}
		default:
			events = append(events, Event{at, *e.Message})
		}
	}
	s.groups[*in.LogGroupName][*in.LogStreamName] = events
	out := &cloudwatchlogs.PutLogEventsOutput{}
	if some {
		out.RejectedLogEventsInfo = &refused
	}
	return out, nil
}

// CreateLogGroup makes a group.
func (s *Service) CreateLogGroup(ctx context.Context, in *cloudwatchlogs.CreateLogGroupInput, _ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.CreateLogGroupOutput, error) {
	if err := s.enter(ctx, "CreateLogGroup"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	if s.groups[*in.LogGroupName] != nil {
		return nil, &types.ResourceAlreadyExistsException{Message: aws.String("The specified log group already exists")}
	}
	s.groups[*in.LogGroupName] = make(map[string][]Event)
	return &cloudwatchlogs.CreateLogGroupOutput{}, nil
}

// CreateLogStream makes a stream in a group.
func (s *Service) CreateLogStream(ctx context.Context, in *cloudwatchlogs.CreateLogStreamInput, _ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.CreateLogStreamOutput, error) {
	if err := s.enter(ctx, "CreateLogStream"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	name := *in.LogStreamName
	if name == "" || len(name) > 512 || strings.ContainsAny(name, ":*") {
		return nil, s.invalid("the stream's name %q", name)
	}
	group := s.groups[*in.LogGroupName]
	if group == nil {
		return nil, &types.ResourceNotFoundException{Message: aws.String("The specified log group does not exist.")}
	}
	if _, there := group[name]; there {
		return nil, &types.ResourceAlreadyExistsException{Message: aws.String("The specified log stream already exists")}
	}
	group[name] = []Event{}
	return &cloudwatchlogs.CreateLogStreamOutput{}, nil
}

// filterPage is how many events FilterLogEvents looks at in one call, which may therefore return none and a token.
const filterPage = 50

// FilterLogEvents returns events of streams in the order of time, page by page. Of patterns it knows texts in quotation
// marks, all of which must be in an event.
func (s *Service) FilterLogEvents(ctx context.Context, in *cloudwatchlogs.FilterLogEventsInput, _ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.FilterLogEventsOutput, error) {
	if err := s.enter(ctx, "FilterLogEvents"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	group := s.groups[aws.ToString(in.LogGroupName)]
	if group == nil {
		return nil, &types.ResourceNotFoundException{Message: aws.String("The specified log group does not exist.")}
	}
	if limit := aws.ToInt32(in.Limit); in.Limit != nil && (limit < 1 || limit > 10_000) {
		return nil, s.invalid("the limit %d", limit)
	}
	if len(aws.ToString(in.FilterPattern)) > 1024 {
		return nil, s.invalid("a pattern of %d characters", len(*in.FilterPattern))
	}
	type found struct {
		Event
		stream string
	}
	var events []found
	for _, name := range in.LogStreamNames {
		stream, there := group[name]
		if !there {
			return nil, &types.ResourceNotFoundException{Message: aws.String("The specified log stream does not exist.")}
		}
		for _, e := range stream {
			if at := e.At.UnixMilli(); at >= aws.ToInt64(in.StartTime) && (in.EndTime == nil || at <= *in.EndTime) {
				events = append(events, found{e, name})
			}
		}
	}
	slices.SortStableFunc(events, func(a, b found) int { return a.At.Compare(b.At) })
	offset, err := strconv.Atoi(cmp.Or(aws.ToString(in.NextToken), "0"))
	if err != nil || offset > len(events) {
		return nil, s.invalid("the token %q", *in.NextToken)
	}
	out := &cloudwatchlogs.FilterLogEventsOutput{}
	end := min(offset+filterPage, len(events))
	for _, e := range events[offset:end] {
		if matches(aws.ToString(in.FilterPattern), e.Message) {
			out.Events = append(out.Events, types.FilteredLogEvent{
				Message: aws.String(e.Message), Timestamp: aws.Int64(e.At.UnixMilli()), LogStreamName: aws.String(e.stream),
			})
		}
	}
	if end < len(events) {
		out.NextToken = aws.String(strconv.Itoa(end))
	}
	return out, nil
}

func matches(pattern, text string) bool {
	for pattern != "" {
		quoted, err := strconv.QuotedPrefix(pattern)
		if err != nil {
			return false
		}
		want, err := strconv.Unquote(quoted)
		if err != nil || !strings.Contains(text, want) {
			return false
		}
		pattern = strings.TrimSpace(pattern[len(quoted):])
	}
	return true
}
