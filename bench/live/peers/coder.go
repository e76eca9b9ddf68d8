package main

import (
	"context"
	"net/http"

	"github.com/coder/websocket"
)

// coder is a chat server after the library's example: a handler, with a queue for what it writes; nothing is to be read.
type coder struct{ room[chan []byte] }

func (c *coder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	ctx := conn.CloseRead(context.Background())
	queue := make(chan []byte, 16)
	c.enter(queue)
	for {
		select {
		case message := <-queue:
			tell(conn.Write(ctx, websocket.MessageText, message))
		case <-ctx.Done():
			return
		}
	}
}

func (c *coder) broadcast(message []byte) {
	c.each(func(queue chan []byte) { queue <- message })
}
