package safehttp

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
)

// zone is a name server of one's own: for every name, the addresses to answer with, one list per question,
// the last one again and again. Names that are not in it do not exist.
type zone struct {
	mu      sync.Mutex
	answers map[string][][]string
	asked   map[string]int
}

func newZone(answers map[string][][]string) *zone {
	return &zone{answers: answers, asked: make(map[string]int)}
}

// resolver returns a Go resolver that asks z over pipes; no packet leaves the process.
func (z *zone) resolver() *net.Resolver {
	return &net.Resolver{
		PreferGo: true,
		Dial: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go z.serve(ours) // ends when the resolver closes its side
			return theirs, nil
		},
	}
}

// serve speaks DNS over TCP (RFC 1035, section 4.2.2), as much of it as a stub resolver needs.
func (z *zone) serve(conn net.Conn) {
	defer conn.Close()
	for {
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		reply := z.reply(query)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}

func (z *zone) reply(query []byte) []byte {
	const header, typeA, typeAAAA = 12, 1, 28
	var labels []string
	at := header
	for query[at] != 0 {
		n := int(query[at])
		labels = append(labels, string(query[at+1:at+1+n]))
		at += 1 + n
	}
	question := query[header : at+5] // the name's final zero, type, class
	kind := binary.BigEndian.Uint16(query[at+1:])

	name := strings.ToLower(strings.Join(labels, "."))
	addrs, exists := z.next(name, kind == typeA)

	var records []byte
	count := 0
	for _, addr := range addrs {
		if addr.Is4() != (kind == typeA) || kind != typeA && kind != typeAAAA {
			continue
		}
		records = append(records, 0xc0, header) // the name: as in the question
		records = binary.BigEndian.AppendUint16(records, kind)
		records = append(records, 0, 1, 0, 0, 0, 0) // class IN, TTL 0
		records = binary.BigEndian.AppendUint16(records, uint16(addr.BitLen()/8))
		records = append(records, addr.AsSlice()...)
		count++
	}
	status := byte(0)
	if !exists {
		status = 3 // NXDOMAIN
	}
	reply := append([]byte{query[0], query[1], 0x81, 0x80 | status, 0, 1, 0, byte(count), 0, 0, 0, 0}, question...)
	return append(reply, records...)
}

// next returns the addresses of the next answer. A question for A moves on; the one for AAAA beside it does not.
func (z *zone) next(name string, move bool) ([]netip.Addr, bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	lists, ok := z.answers[name]
	if !ok {
		return nil, false
	}
	texts := lists[min(z.asked[name], len(lists)-1)]
	if move {
		z.asked[name]++
	}
	var addrs []netip.Addr
	for _, text := range texts {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	return addrs, true
}

func (z *zone) lookups(name string) int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked[name]
}
