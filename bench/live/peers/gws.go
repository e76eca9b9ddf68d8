package main

import (
	"net/http"

	"github.com/lxzan/gws"
)

// gwsServer reads in a goroutine of each connection, and sends a broadcast as its documentation says.
type gwsServer struct {
	room[*gws.Conn]
	upgrader *gws.Upgrader
}

// newGWS returns one with a read buffer of so many bytes for each; 0: the library's default.
func newGWS(buffer int) *gwsServer {
	return &gwsServer{upgrader: gws.NewUpgrader(gws.BuiltinEventHandler{}, &gws.ServerOption{ReadBufferSize: buffer})}
}

func (g *gwsServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := g.upgrader.Upgrade(w, r)
	if err != nil {
		return
	}
	g.enter(conn)
	go conn.ReadLoop()
}

func (g *gwsServer) broadcast(message []byte) {
	b := gws.NewBroadcaster(gws.OpcodeText, message)
	defer b.Close()
	g.each(func(conn *gws.Conn) { tell(b.Broadcast(conn)) })
}
