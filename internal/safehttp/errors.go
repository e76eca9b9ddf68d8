package safehttp

import (
	"errors"
	"fmt"
	"net/netip"
)

// ErrTooManyRedirects: the server redirected more than [MaxRedirects] times.
var ErrTooManyRedirects = fmt.Errorf("more than %d redirects", MaxRedirects)

// BlockedError says that a URL, or a redirect that it led to, points where URLs from outside may not go.
// Nothing was sent. Its text names the kind of the address and not the address itself,
// so that it may be shown to whoever gave the URL without telling what the inside looks like.
type BlockedError struct {
	// Target is what was refused: "host:port", or a URL without its credentials if there is no such thing in it.
	Target string
	// Addr is the address that Target's host stands for. The zero Addr: it was refused before it was looked up.
	Addr netip.Addr
	// Reason says what is wrong: "it is a loopback address".
	Reason string
	// Remedy says what would be right: the allow-list entry that would permit it, or how to write the URL.
	Remedy string
}

func (e *BlockedError) Error() string {
	return fmt.Sprintf("%s is blocked: %s; %s", e.Target, e.Reason, e.Remedy)
}

// TooLargeError says that a response's body is larger than the client accepts.
type TooLargeError struct {
	Limit int64 // bytes
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the response is larger than the limit of %d bytes", e.Limit)
}

// Refused reports whether err is a refusal of this package, which a second try would only repeat:
// a [*BlockedError], a [*TooLargeError] or [ErrTooManyRedirects]. Everything else is the network's or the server's doing.
func Refused(err error) bool {
	if _, ok := errors.AsType[*BlockedError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*TooLargeError](err); ok {
		return true
	}
	return errors.Is(err, ErrTooManyRedirects)
}
