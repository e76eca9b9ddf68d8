package cloudwatch

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/seri-queue/seri/internal/wire"
)

// Reader is what reading needs of CloudWatch; [*cloudwatchlogs.Client] has it.
type Reader interface {
	FilterLogEvents(ctx context.Context, in *cloudwatchlogs.FilterLogEventsInput, options ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.FilterLogEventsOutput, error)
}

// Span is where the lines of a task are: in one stream, from one time to another.
type Span struct {
	Group, Stream string
	From, To      time.Time
}

// spanSlack widens a span: lines get their times from the log driver, which reads them a little later and by its own clock.
const spanSlack = time.Minute

// maxPages bounds the calls for one span. A page may be empty although others behind it are not.
const maxPages = 20

// Read returns the lines of the task with the given ID in a span, at most limit, the oldest first; more tells that there may
// be others. A line is a task's if it is a JSON object whose task_id says so. A stream that does not exist has none.
func Read(ctx context.Context, from Reader, where Span, task string, limit int) (lines []wire.LogLine, more bool, err error) {
	in := &cloudwatchlogs.FilterLogEventsInput{
		LogGroupName: &where.Group, LogStreamNames: []string{where.Stream}, FilterPattern: pattern(task),
		StartTime: aws.Int64(where.From.Add(-spanSlack).UnixMilli()), EndTime: aws.Int64(where.To.Add(spanSlack).UnixMilli()),
	}
	for range maxPages {
		page, err := from.FilterLogEvents(ctx, in)
		if is[*types.ResourceNotFoundException](err) {
			return lines, false, nil
		}
		if err != nil {
			return nil, false, fmt.Errorf("read the log of task %s: %w", task, err)
		}
		for _, e := range page.Events {
			line, ok := wire.ParseLogLine(aws.ToString(e.Message))
			if !ok || line.Task != task {
				continue // another's, in which the ID occurs
			}
			if len(lines) == limit {
				return lines, true, nil
			}
			lines = append(lines, line)
		}
		if aws.ToString(page.NextToken) == "" {
			return lines, false, nil
		}
		in.NextToken = page.NextToken
	}
	return lines, true, nil
}

// pattern returns one that matches every line with the ID as it stands in JSON, and a few others; nil, which matches all,
// for an ID that no pattern can hold.
func pattern(task string) *string {
	encoded, err := json.Marshal(task)
	inner := strings.Trim(string(encoded), `"`)
	if err != nil || len(inner) == 0 || len(inner) > 500 || strings.ContainsFunc(inner, func(r rune) bool { return r < ' ' || r > '~' || r == '\\' || r == '"' }) {
		return nil
	}
	return aws.String(strconv.Quote(inner))
}
