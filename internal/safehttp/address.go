package safehttp

import "net/netip"

// special lists the networks that are not the public Internet, the more telling name before the more general one.
//
// Source: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and later), and what clouds
// have put on top of them.
var special = []struct {
	prefix netip.Prefix
	kind   string
}{
	{netip.MustParsePrefix("0.0.0.0/32"), "the unspecified address"},
	{netip.MustParsePrefix("0.0.0.0/8"), "an address of this network (RFC 791)"},
	{netip.MustParsePrefix("10.0.0.0/8"), "a private address (RFC 1918)"},
	{netip.MustParsePrefix("100.64.0.0/10"), "an address of carrier-grade NAT (RFC 6598)"},
	{netip.MustParsePrefix("127.0.0.0/8"), "a loopback address"},
	{netip.MustParsePrefix("168.63.129.16/32"), "the platform address of Azure, public only in looks"},
	{netip.MustParsePrefix("169.254.0.0/16"), "a link-local address, where clouds keep their metadata"},
	{netip.MustParsePrefix("172.16.0.0/12"), "a private address (RFC 1918)"},
	{netip.MustParsePrefix("192.0.0.0/24"), "an address for protocol assignments (RFC 6890)"},
	{netip.MustParsePrefix("192.0.2.0/24"), "an address for documentation (RFC 5737)"},
	{netip.MustParsePrefix("192.88.99.0/24"), "an address of 6to4 relays (RFC 7526)"},
	{netip.MustParsePrefix("192.168.0.0/16"), "a private address (RFC 1918)"},
	{netip.MustParsePrefix("198.18.0.0/15"), "an address for benchmarks (RFC 2544)"},
	{netip.MustParsePrefix("198.51.100.0/24"), "an address for documentation (RFC 5737)"},
	{netip.MustParsePrefix("203.0.113.0/24"), "an address for documentation (RFC 5737)"},
	{netip.MustParsePrefix("224.0.0.0/4"), "a multicast address"},
	{netip.MustParsePrefix("255.255.255.255/32"), "the broadcast address"},
	{netip.MustParsePrefix("240.0.0.0/4"), "a reserved address (RFC 1112)"},

	{netip.MustParsePrefix("::/128"), "the unspecified address"},
	{netip.MustParsePrefix("::1/128"), "a loopback address"},
	{netip.MustParsePrefix("::ffff:0:0/96"), "an IPv4 address in IPv6 notation"},
	{netip.MustParsePrefix("::/96"), "an IPv4 address in IPv6 notation"},
	{netip.MustParsePrefix("64:ff9b::/96"), "a NAT64 address (RFC 6052)"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "a NAT64 address (RFC 8215)"},
	{netip.MustParsePrefix("2001::/32"), "a Teredo address (RFC 4380)"},
	{netip.MustParsePrefix("2001::/23"), "an address for protocol assignments (RFC 2928)"},
	{netip.MustParsePrefix("2001:db8::/32"), "an address for documentation (RFC 3849)"},
	{netip.MustParsePrefix("2002::/16"), "a 6to4 address (RFC 3056)"},
	{netip.MustParsePrefix("3fff::/20"), "an address for documentation (RFC 9637)"},
	{netip.MustParsePrefix("fc00::/7"), "a unique local address (RFC 4193)"},
	{netip.MustParsePrefix("fe80::/10"), "a link-local address"},
	{netip.MustParsePrefix("fec0::/10"), "a site-local address (RFC 3879)"},
	{netip.MustParsePrefix("ff00::/8"), "a multicast address"},
}

// globalUnicast is all of IPv6 that has been given out for the public Internet.
var globalUnicast = netip.MustParsePrefix("2000::/3")

// Public reports whether addr belongs to the public Internet; if not, kind says what it is instead,
// as in "a loopback address".
//
// An address that carries another one inside (IPv4-mapped, NAT64, 6to4, Teredo) is not public, whatever it carries:
// nobody has a reason to write one into a URL. A worker in a network without IPv4, whose resolver makes NAT64
// addresses up (DNS64), needs 64:ff9b::/96 on its allow-list.
func Public(addr netip.Addr) (kind string, ok bool) {
	addr = addr.WithZone("") // a prefix contains no address with a zone
	for _, s := range special {
		if s.prefix.Contains(addr) {
			return s.kind, false
		}
	}
	if !addr.Is4() && !globalUnicast.Contains(addr) {
		return "an address outside of the public Internet", false
	}
	return "", true
}
