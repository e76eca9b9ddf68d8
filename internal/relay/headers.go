package relay

import (
	"fmt"
	"strconv"

	"github.com/seri-queue/seri/internal/events"
)

// The names of headers, lower case because Kafka and AMQP compare them exactly.
const (
	headerID    = "seri-id"
	headerQueue = "seri-queue"
	headerEntry = "seri-entry"
	headerIndex = "seri-index"
	headerOf    = "seri-of"
	headerAfter = "seri-after"
	headerType  = "seri-type"
	headerKey   = "seri-key"
	headerMark  = "seri-mark" // of a message that is no event, in RabbitMQ

	contentType = "application/cloudevents+json"
)

// headers returns what a message says beside its body.
func headers(r *events.Record) [][2]string {
	return [][2]string{
		{headerID, r.ID}, {headerQueue, r.Queue}, {headerEntry, r.Entry.String()}, {headerIndex, strconv.Itoa(r.Index)},
		{headerOf, strconv.Itoa(r.Of)}, {headerAfter, r.After.String()}, {headerType, r.Type}, {headerKey, r.Key}, {"content-type", contentType},
	}
}

// read returns the record of a message, but for its time. get returns a header, empty if there is none.
func read(get func(name string) string, body []byte) (r events.Record, err error) {
	r = events.Record{ID: get(headerID), Queue: get(headerQueue), Type: get(headerType), Key: get(headerKey), Body: body}
	if r.Entry, err = events.ParseEntryID(get(headerEntry)); err != nil {
		return r, fmt.Errorf("header %s: %w", headerEntry, err)
	}
	if r.After, err = events.ParseEntryID(get(headerAfter)); err != nil {
		return r, fmt.Errorf("header %s: %w", headerAfter, err)
	}
	if r.Index, err = strconv.Atoi(get(headerIndex)); err != nil {
		return r, fmt.Errorf("header %s: %w", headerIndex, err)
	}
	if r.Of, err = strconv.Atoi(get(headerOf)); err != nil {
		return r, fmt.Errorf("header %s: %w", headerOf, err)
	}
	return r, nil
}
