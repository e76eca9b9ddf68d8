package api

import (
	"log/slog"
	"net/http"
	"time"
)

// NewServer returns an [http.Server] with the limits that the handler cannot set itself: request headers of 16 KiB that
// arrive within 5 s, and idle connections that are closed after 60 s. There is no timeout for answers, because live
// streams do not end; the handler bounds everything else. The caller sets the address.
func NewServer(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16<<10 - 4<<10, // net/http allows 4 KiB more than it is told
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}
