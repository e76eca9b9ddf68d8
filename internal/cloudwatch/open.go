package cloudwatch

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
)

// Open returns a client of CloudWatch Logs with what the environment says: AWS_REGION, and credentials from variables, from
// shared files, or from the task that the container belongs to. A region, if given, counts more. Nothing is called yet.
func Open(ctx context.Context, region string) (*cloudwatchlogs.Client, error) {
	settings, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
	if err != nil {
		return nil, fmt.Errorf("settings of AWS: %w", err)
	}
	if settings.Region == "" {
		return nil, errors.New("settings of AWS: no region is set; set AWS_REGION")
	}
	return cloudwatchlogs.NewFromConfig(settings), nil
}
