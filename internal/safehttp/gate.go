package safehttp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
)

// gate is the inner layer: every new connection passes it, and pooled ones have passed it.
type gate struct {
	allow      AllowList
	dialer     net.Dialer
	connecting func(netip.AddrPort) error
}

// dial connects to address, "host:port" with the host in ASCII as [http.Transport] gives it, if that is permitted.
func (g *gate) dial(ctx context.Context, network, address string) (net.Conn, error) {
	t, err := parseTarget(address)
	if err != nil {
		return nil, err
	}
	if err := g.checkTarget(t); err != nil {
		return nil, err
	}

	dialer := g.dialer
	dialer.ControlContext = func(_ context.Context, _, resolved string, _ syscall.RawConn) error {
		addr, err := netip.ParseAddrPort(resolved)
		if err != nil {
			return fmt.Errorf("connect to %s: %w", t, err) // no such address exists for "tcp"; refuse what we cannot judge
		}
		if err := g.checkAddr(t, addr.Addr()); err != nil {
			return err
		}
		return g.connecting(addr)
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if blocked, ok := errors.AsType[*BlockedError](err); ok {
		return nil, blocked // without the dialer's words around it, which tell the address
	}
	return conn, err
}

// checkTarget refuses what needs no lookup to be refused: not a word leaves the machine for it.
func (g *gate) checkTarget(t target) error {
	if !usualPort(t.port) && !g.allow.opensPort(t.port) {
		return &BlockedError{
			Target: t.String(),
			Reason: fmt.Sprintf("port %d is not open, only 80 and 443 are", t.port),
			Remedy: t.remedy(),
		}
	}
	if addr, err := netip.ParseAddr(t.host); err == nil {
		return g.checkAddr(t, addr)
	}
	if numeric(t.host) {
		return &BlockedError{
			Target: t.String(),
			Reason: "its host is a number, which some resolvers take for an address",
			Remedy: "write an IPv4 address as four decimal numbers",
		}
	}
	return nil
}

// checkAddr decides about one address that t stands for.
func (g *gate) checkAddr(t target, addr netip.Addr) error {
	if g.allow.permits(t.host, addr, t.port) {
		return nil
	}
	if !usualPort(t.port) {
		return &BlockedError{
			Target: t.String(), Addr: addr,
			Reason: fmt.Sprintf("port %d is not open to this host, only 80 and 443 are", t.port),
			Remedy: t.remedy(),
		}
	}
	if kind, ok := Public(addr); !ok {
		return &BlockedError{
			Target: t.String(), Addr: addr,
			Reason: "it is " + kind,
			Remedy: t.remedy(),
		}
	}
	return nil
}

// target is what a URL asks to connect to.
type target struct {
	host string // lower case, no trailing dot, no brackets
	port uint16
}

func parseTarget(address string) (target, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return target{}, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return target{}, &BlockedError{
			Target: address,
			Reason: fmt.Sprintf("%q is not a port", port),
			Remedy: "leave the port out, or write one between 1 and 65535",
		}
	}
	return target{host: normalHost(host), port: uint16(n)}, nil
}

func (t target) String() string {
	return net.JoinHostPort(t.host, strconv.Itoa(int(t.port)))
}

// remedy names the narrowest allow-list entry that would permit t.
func (t target) remedy() string {
	return fmt.Sprintf("the allow-list entry %q would permit it", t)
}

// normalHost returns host as it is compared: "LocalHost." and "localhost" are one.
func normalHost(host string) string {
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// numeric reports whether host is a number in one of the notations in which C libraries accept an IPv4 address
// (2130706433, 0x7f.1, 0177.0.0.1), as the WHATWG URL standard tells them: by the last label.
func numeric(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

func usualPort(port uint16) bool { return port == 80 || port == 443 }
