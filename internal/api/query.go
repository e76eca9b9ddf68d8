package api

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// checkQuery is the middleware of every operation: it refuses a query that would be read with a guess. Of a parameter that
// is there twice the first would win, and one with a stray "%" would be ignored. (huma refuses those that it does not know.)
func checkQuery(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	if r.URL.RawQuery == "" {
		next(ctx)
		return
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		invalid([]Fault{newFault("query", nil, "is malformed: "+err.Error())}).write(w)
		return
	}
	var faults []Fault
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if n := len(query[name]); n > 1 {
			faults = append(faults, newFault("query."+clip(name), nil, fmt.Sprintf("is given %d times, must be given once", n)))
		}
	}
	if len(faults) > 0 {
		invalid(faults[:min(len(faults), maxQueryFaults)]).write(w)
		return
	}
	next(ctx)
}

// maxQueryFaults bounds how many faults of a query are told.
const maxQueryFaults = 10

// guarded adds the middleware to an operation, and its answer to the documentation.
func guarded(op *huma.Operation) {
	op.Middlewares = append(huma.Middlewares{checkQuery}, op.Middlewares...)
	if code := strconv.Itoa(http.StatusUnprocessableEntity); op.Responses[code] == nil {
		op.Responses[code] = &huma.Response{Description: meaning(http.StatusUnprocessableEntity)}
	}
}
