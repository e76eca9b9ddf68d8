package main

import (
	"fmt"
	"net/http"
	"os"
	"sync"

	"github.com/gorilla/websocket"
)

// gorillaUsual is a chat server after the library's example: a handler that reads, and a goroutine that writes.
type gorillaUsual struct{ room[chan []byte] }

func (g *gorillaUsual) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	queue := make(chan []byte, 16)
	g.enter(queue)
	go func() {
		for message := range queue {
			tell(conn.WriteMessage(websocket.TextMessage, message))
		}
	}()
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			return
		}
	}
}

func (g *gorillaUsual) broadcast(message []byte) {
	g.each(func(queue chan []byte) { queue <- message })
}

// gorillaTuned has small buffers or none, a reader that has left the handler, and no goroutine that writes.
type gorillaTuned struct {
	room[*websocket.Conn]
	upgrader websocket.Upgrader
}

func newGorillaTuned() *gorillaTuned {
	return &gorillaTuned{upgrader: websocket.Upgrader{
		ReadBufferSize: 512, WriteBufferSize: 1024, WriteBufferPool: new(sync.Pool),
		CheckOrigin: func(*http.Request) bool { return true },
	}}
}

func (g *gorillaTuned) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := g.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	g.enter(conn)
	go func() {
		for {
			if _, _, err := conn.NextReader(); err != nil {
				return
			}
		}
	}()
}

func (g *gorillaTuned) broadcast(message []byte) {
	prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, message)
	if err != nil {
		tell(err)
		return
	}
	g.each(func(conn *websocket.Conn) { tell(conn.WritePreparedMessage(prepared)) })
}

// tell says what must not be.
func tell(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
