package cloudwatch

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/seri-queue/seri/internal/cloudwatch/cloudwatchtest"
)

// picky refuses calls with a line that ends in "bad", for a reason that no document tells.
type picky struct{ cloudwatchtest.Service }

func (p *picky) PutLogEvents(ctx context.Context, in *cloudwatchlogs.PutLogEventsInput, options ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.PutLogEventsOutput, error) {
	for _, e := range in.LogEvents {
		if strings.HasSuffix(*e.Message, "bad") {
			return nil, &types.InvalidParameterException{}
		}
	}
	return p.Service.PutLogEvents(ctx, in, options...)
}
