package safehttp

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// AllowList opens hosts, networks and ports beyond what is public. The zero value opens nothing.
type AllowList struct {
	rules []rule
}

// rule is one entry. Either host or prefix is set.
type rule struct {
	host    string // "example.com", or ".example.com" for all names below it
	prefix  netip.Prefix
	port    uint16 // 0: see anyPort
	anyPort bool   // every port; if neither is set: 80 and 443
}

// ParseAllowList reads entries of the form target or target:port.
//
//	intranet.example.com          this name, whatever it stands for
//	*.svc.example.com             every name below, at any depth; not svc.example.com itself
//	10.1.2.3   fd00::1            this address, whatever name led there
//	10.0.0.0/8   fd00::/8         every address of this network
//
// Without a port, 80 and 443 are open; with one, only that; with ":*", all of them. An IPv6 target with a port stands
// in brackets: [fd00::/8]:8080. Case does not matter. A name that is not ASCII has to be in its "xn--" form.
//
// Mind what a name gives away: whoever controls its DNS chooses the address.
//
// The error lists every entry that cannot be read, and why.
func ParseAllowList(entries []string) (AllowList, error) {
	var (
		list AllowList
		errs []error
	)
	for _, entry := range entries {
		r, err := parseRule(entry)
		if err != nil {
			errs = append(errs, fmt.Errorf("allow-list entry %q: %w", entry, err))
			continue
		}
		list.rules = append(list.rules, r)
	}
	if len(errs) > 0 {
		return AllowList{}, errors.Join(errs...)
	}
	return list, nil
}

// permits reports whether an entry opens port of addr, to which host was resolved.
func (l AllowList) permits(host string, addr netip.Addr, port uint16) bool {
	addr = addr.WithZone("").Unmap()
	for _, r := range l.rules {
		if r.matchesPort(port) && (r.matchesHost(host) || r.prefix.Contains(addr)) {
			return true
		}
	}
	return false
}

// opensPort reports whether any entry opens port, for whichever host.
func (l AllowList) opensPort(port uint16) bool {
	for _, r := range l.rules {
		if r.matchesPort(port) {
			return true
		}
	}
	return false
}

func (r rule) matchesPort(port uint16) bool {
	switch {
	case r.anyPort:
		return true
	case r.port != 0:
		return r.port == port
	}
	return usualPort(port)
}

func (r rule) matchesHost(host string) bool {
	if strings.HasPrefix(r.host, ".") {
		return strings.HasSuffix(host, r.host) && len(host) > len(r.host)
	}
	return r.host != "" && r.host == host
}

func parseRule(entry string) (rule, error) {
	target, port, err := splitPort(strings.TrimSpace(entry))
	if err != nil {
		return rule{}, err
	}
	var r rule
	switch port {
	case "":
	case "*":
		r.anyPort = true
	default:
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return rule{}, fmt.Errorf("port %q must be a number between 1 and 65535, or *", port)
		}
		r.port = uint16(n)
	}

	if addr, err := netip.ParseAddr(target); err == nil {
		addr = addr.WithZone("").Unmap()
		r.prefix = netip.PrefixFrom(addr, addr.BitLen())
		return r, nil
	}
	if strings.Contains(target, "/") {
		r.prefix, err = parseNetwork(target)
		return r, err
	}
	r.host, err = parseName(target)
	return r, err
}

// splitPort separates a target from its port, which is empty if there is none.
func splitPort(s string) (target, port string, err error) {
	if s == "" {
		return "", "", errors.New("it is empty")
	}
	if strings.Contains(s, "://") {
		return "", "", errors.New("it must be a host, not a URL: leave the scheme and the path out")
	}
	if rest, ok := strings.CutPrefix(s, "["); ok {
		target, port, ok = strings.Cut(rest, "]")
		if !ok {
			return "", "", errors.New(`the "[" has no "]"`)
		}
		if port == "" {
			return target, "", nil
		}
		if port, ok = strings.CutPrefix(port, ":"); !ok || port == "" {
			return "", "", errors.New(`after "]" a colon and a port must follow`)
		}
		return target, port, nil
	}
	switch strings.Count(s, ":") {
	case 0:
		return s, "", nil
	case 1:
		target, port, _ = strings.Cut(s, ":")
		if port == "" {
			return "", "", errors.New("a port must follow the colon")
		}
		return target, port, nil
	}
	return s, "", nil // IPv6, or nonsense that the caller will find
}

func parseNetwork(s string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, errors.New("it must be a network such as 10.0.0.0/8, or a host without a path")
	case prefix.Addr().Is4In6():
		return netip.Prefix{}, errors.New("write an IPv4 network in IPv4 notation")
	case prefix != prefix.Masked():
		return netip.Prefix{}, fmt.Errorf("the network of this address is %s", prefix.Masked())
	}
	return prefix, nil
}

func parseName(s string) (string, error) {
	name, below := strings.CutPrefix(normalHost(s), "*.")
	if s == "*" {
		return "", errors.New("it must name a host; to open every address, list 0.0.0.0/0 and ::/0")
	}
	if numeric(name) {
		return "", errors.New("an IPv4 address must be four decimal numbers")
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", fmt.Errorf("%q is not a host name, an address, a network or *.name", s)
		}
	}
	if below {
		return "." + name, nil
	}
	return name, nil
}
