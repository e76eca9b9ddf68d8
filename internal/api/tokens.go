package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/seri-queue/seri/internal/gateway"
	"github.com/seri-queue/seri/internal/token"
)

// TokenRequest is the body that asks for a token. [server.mint] reads it field by field.
type TokenRequest struct {
	Tasks  []string `json:"tasks,omitempty" doc:"IDs of tasks that may be watched, at most 100." example:"R4ZFQ2M5KXW7TJ3NB6VYAH2CLE"`
	Owner  string   `json:"owner,omitempty" doc:"Tasks with this label may be watched." maxLength:"256"`
	Queues []string `json:"queues,omitempty" doc:"Tasks of these queues may be watched, at most 100."`
	TTL    float64  `json:"ttl,omitempty" doc:"Seconds until the token expires. Default: 900." minimum:"10" maximum:"43200"`
	Origin string   `json:"origin,omitempty" doc:"The only origin whose pages may use the token: scheme://host[:port]. Default: any that may connect." example:"https://app.example.com"`
}

var tokenFields = []string{"tasks", "owner", "queues", "ttl", "origin"}

// Token is a token that was made.
type Token struct {
	Token     string    `json:"token" doc:"A JWT. Give it to the browser; never put it into a URL."`
	ExpiresAt time.Time `json:"expires_at"`
}

type mintOutput struct{ Body Token }

// noTokens refuses what needs a secret that the server has not been given.
const noTokens = "needs a server that makes tokens: give it --token-secrets"

func (s *server) addTokens(api huma.API) {
	if s.config.Tokens == nil {
		return
	}
	mint := huma.Operation{
		OperationID: "mintToken", Method: http.MethodPost, Path: "/v1/tokens", Tags: []string{"Live"}, DefaultStatus: http.StatusCreated,
		Summary:     "Make a token for a browser",
		Description: "With it, a browser may watch what is given here, and nothing else; what is given must all be true of a task. It is read-only, works until it expires, and is sent in the header Authorization, in a cookie, as a subprotocol or in a message of the WebSocket.",
		Middlewares: huma.Middlewares{takeBody(maxTaskBytes)},
		Responses:   answers(201, "Made", exampleToken, 400, 408, 413, 415, 422),
	}
	register(api, mint, s.mint)
	describeBody[TokenRequest](api, mint, exampleTokenRequest)
}

func (s *server) mint(ctx context.Context, _ *struct{}) (*mintOutput, error) {
	body, _ := ctx.Value(bodyKey{}).([]byte)
	if err := scan(body); err != nil {
		return nil, kindMalformed.problem(err.Error(), newFault("body", nil, err.Error()))
	}
	pass, ttl, faults := decodeTokenRequest(body)
	if len(faults) > 0 {
		return nil, invalid(faults)
	}
	made, err := s.sign(ctx, pass, ttl)
	if err != nil {
		return nil, invalid([]Fault{newFault("body", nil, err.Error())})
	}
	return &mintOutput{made}, nil
}

func decodeTokenRequest(body []byte) (token.Pass, time.Duration, []Fault) {
	o := newObject(body, "body")
	if o.fields == nil {
		return token.Pass{}, 0, o.faults
	}
	o.onlyKnown(tokenFields)
	pass, ttl := token.Pass{Origin: o.text("origin")}, token.DefaultTTL
	o.read("tasks", &pass.Scope.Tasks, "a list of strings")
	o.read("queues", &pass.Scope.Queues, "a list of strings")
	pass.Scope.Owner = o.text("owner")
	for _, field := range []string{"tasks", "queues"} {
		var list []json.RawMessage
		if o.has(field) && !o.faulty(field) && json.Unmarshal(o.fields[field], &list) == nil && len(list) == 0 {
			o.fault(field, nil, "is an empty list, which would mean none; leave it out to mean any")
		}
	}
	if o.has("owner") && !o.faulty("owner") && pass.Scope.Owner == "" {
		o.fault("owner", nil, "is empty, which would mean nobody; leave it out to mean anybody")
	}
	if o.has("ttl") {
		ttl = o.seconds("ttl", token.MinTTL)
		if ttl > token.MaxTTL {
			o.fault("ttl", nil, "must be at most 43200 seconds (12 hours)")
		}
		if o.faulty("ttl") && ttl < token.MaxTTL {
			o.faults = slices.DeleteFunc(o.faults, func(f Fault) bool { return f.Location == "body.ttl" })
			o.fault("ttl", o.fields["ttl"], "must be a number of seconds from 10 to 43200 (12 hours)")
		}
	}
	if pass.Origin != "" && !gateway.IsOrigin(pass.Origin) {
		o.fault("origin", pass.Origin, "must be an origin as browsers send it: https://app.example.com")
	}
	if len(o.faults) == 0 {
		if err := pass.Scope.Check(); err != nil {
			o.faults = append(o.faults, newFault("body", nil, err.Error()))
		}
	}
	return pass, ttl, o.faults
}

// sign makes a token in the name of the request's API key.
func (s *server) sign(ctx context.Context, pass token.Pass, ttl time.Duration) (Token, error) {
	pass.Issuer = requestFrom(ctx).keyID
	text, expires, err := s.config.Tokens.Mint(pass, ttl, s.now())
	return Token{Token: text, ExpiresAt: expires.UTC()}, err
}

// withToken adds to an answer a token for its task.
func (s *server) withToken(ctx context.Context, out *enqueueOutput, seconds float64) (*enqueueOutput, error) {
	scope := token.Scope{Tasks: []string{out.Body.ID}, Queues: []string{out.Body.Queue}}
	made, err := s.sign(ctx, token.Pass{Scope: scope}, time.Duration(seconds*float64(time.Second)))
	if err != nil {
		return nil, s.fromError(ctx, "make a token", err)
	}
	out.Body.Token, out.Body.TokenExpiresAt = made.Token, &made.ExpiresAt
	return out, nil
}

// readRoute is the one route outside of live events that the holder of a token may use.
const readRoute = "GET /v1/tasks/{id}"

// admitHolder lets a request pass that brings a good token, with what it says among the request's notes; any other goes on
// to next, which asks for a key.
func (s *server) admitHolder(handler, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pass, err := gateway.Check(s.config.Tokens, r, s.now())
		switch {
		case errors.Is(err, gateway.ErrNone):
			next.ServeHTTP(w, r)
		case err != nil:
			unauthorized(err.Error()).write(w)
		default:
			requestFrom(r.Context()).pass = &pass
			handler.ServeHTTP(w, r)
		}
	})
}

// admitLive tells the gateway who may watch everything, and leaves it to the gateway whom else it lets in.
func (s *server) admitLive(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, known := s.keyOf(r)
		if known {
			requestFrom(r.Context()).keyID = id
		}
		if known || s.config.Insecure {
			r = r.WithContext(gateway.Trusted(r.Context(), id))
		}
		next.ServeHTTP(w, r)
	})
}
