package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/consumers"
	"github.com/seri-queue/seri/internal/gateway"
)

// Consumers is what the API asks of those who acknowledge; [*consumers.Registry] has it.
type Consumers interface {
	Find(ctx context.Context, name string) (consumers.Consumer, error)
	Acknowledge(ctx context.Context, name string, token uint64, cursor string) (consumers.Consumer, error)
	Remove(ctx context.Context, name string) error
}

// AcknowledgeRequest is the body that acknowledges events.
type AcknowledgeRequest struct {
	Token  uint64 `json:"token" doc:"That of the stream, from its header Seri-Consumer-Token." example:"1795404418446123"`
	Cursor string `json:"cursor" doc:"The cursor of a frame: it and all frames before it have been dealt with." example:"1795404418446-1:0"`
}

// Consumer is a named consumer of live events.
type Consumer struct {
	Name           string     `json:"name" example:"billing"`
	Cursor         string     `json:"cursor" doc:"What it has acknowledged: everything up to there, by queue. Empty: it has not begun."`
	AcknowledgedAt *time.Time `json:"acknowledged_at,omitempty" doc:"When it has last acknowledged something."`
}

type (
	consumerPath struct {
		Name string `path:"name" minLength:"1" maxLength:"128" doc:"The consumer's name." example:"billing"`
	}
	consumerOutput struct{ Body Consumer }
)

var (
	exampleAcknowledge = AcknowledgeRequest{Token: 1795404418446123, Cursor: "1795404418446-1:0"}
	exampleConsumer    = Consumer{Name: "billing", Cursor: "default@1795404418446-1:0", AcknowledgedAt: &exampleAt}
)

func (s *server) addConsumers(api huma.API) {
	if s.config.Consumers == nil {
		return
	}
	acknowledge := huma.Operation{
		OperationID: "acknowledgeEvents", Method: http.MethodPost, Path: "/v1/consumers/{name}/ack", Tags: []string{"Live"},
		Summary:     "Acknowledge events",
		Description: "Says that a consumer (GET /v1/events?consumer=) has dealt with all frames up to one. What is not acknowledged is delivered again when the consumer comes back. Only forward: a cursor from before what was acknowledged changes nothing. Only the stream that began last may acknowledge: the token of an earlier one is refused with 409. Streams of server-sent events have tokens; over a WebSocket nothing can be acknowledged.",
		Middlewares: huma.Middlewares{takeBody(maxTaskBytes)},
		Responses:   answers(200, "The consumer, as it is now", exampleConsumer, 400, 404, 408, 409, 413, 415, 422, 503),
	}
	register(api, acknowledge, s.acknowledge)
	describeBody[AcknowledgeRequest](api, acknowledge, exampleAcknowledge)
	register(api, huma.Operation{
		OperationID: "getConsumer", Method: http.MethodGet, Path: "/v1/consumers/{name}", Tags: []string{"Live"},
		Summary:     "Look at a consumer",
		Description: "How far it has acknowledged the events that it watches.",
		Responses:   answers(200, "The consumer", exampleConsumer, 404, 422, 503),
	}, func(ctx context.Context, in *consumerPath) (*consumerOutput, error) {
		ctx, cancel := storeContext(ctx)
		defer cancel()
		c, err := s.config.Consumers.Find(ctx, in.Name)
		return s.consumerAnswer(ctx, "look at a consumer", c, err)
	})
	register(api, huma.Operation{
		OperationID: "deleteConsumer", Method: http.MethodDelete, Path: "/v1/consumers/{name}", Tags: []string{"Live"}, DefaultStatus: http.StatusNoContent,
		Summary:     "Forget a consumer",
		Description: "If it comes back, it begins anew, with a snapshot.",
		Responses:   answers(204, "Forgotten", nil, 404, 422, 503),
	}, func(ctx context.Context, in *consumerPath) (*struct{}, error) {
		ctx, cancel := storeContext(ctx)
		defer cancel()
		if err := s.config.Consumers.Remove(ctx, in.Name); err != nil {
			_, err = s.consumerAnswer(ctx, "forget a consumer", consumers.Consumer{}, err)
			return nil, err
		}
		return nil, nil
	})
}

func (s *server) acknowledge(ctx context.Context, in *consumerPath) (*consumerOutput, error) {
	ctx, cancel := storeContext(ctx)
	defer cancel()
	o, p := smallBody(ctx, "token", "cursor")
	if p != nil {
		return nil, p
	}
	cursor := o.text("cursor")
	if cursor == "" && !o.faulty("cursor") {
		o.fault("cursor", nil, "is missing; each frame has one")
	}
	var token uint64
	if !o.read("token", &token, "a whole number: that of the stream's header "+gateway.ConsumerHeader) && !o.faulty("token") {
		o.fault("token", nil, "is missing; the stream's header "+gateway.ConsumerHeader+" has it")
	}
	if len(o.faults) > 0 {
		return nil, invalid(o.faults)
	}
	c, err := s.config.Consumers.Acknowledge(ctx, in.Name, token, cursor)
	if wrong, ok := errors.AsType[*consumers.CursorError](err); ok {
		return nil, invalid([]Fault{newFault("body.cursor", cursor, wrong.Error())})
	}
	return s.consumerAnswer(ctx, "acknowledge events", c, err)
}

func (s *server) consumerAnswer(ctx context.Context, doing string, c consumers.Consumer, err error) (*consumerOutput, error) {
	if errors.Is(err, seri.ErrNotFound) {
		return nil, kindNotFound.problem("there is no such consumer, or no longer: it begins with GET /v1/events?consumer=")
	}
	if errors.Is(err, consumers.ErrTaken) {
		return nil, kindTaken.problem(err.Error() + ": what the stream of this token has sent is sent to that one, too")
	}
	if err != nil {
		return nil, s.fromError(ctx, doing, err)
	}
	return &consumerOutput{Consumer{Name: c.Name, Cursor: c.Cursor, AcknowledgedAt: optional(c.At)}}, nil
}
