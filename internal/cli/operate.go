package cli

import (
	"context"
	"fmt"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/cli/term"
)

type revokeCommand struct {
	ID    string `arg:"" help:"The task's id."`
	Queue string `help:"The task's queue. Default: all are searched." placeholder:"NAME"`
	connection
}

func (c *revokeCommand) Run(ctx context.Context, std Streams) error {
	server, err := c.open()
	if err != nil {
		return err
	}
	task, err := server.Revoke(ctx, c.Queue, c.ID)
	if err != nil {
		return err
	}
	text := "is revoked"
	if task.State == seri.Active {
		text = "is running; its worker has been asked to stop, and then it is revoked"
	}
	_, err = fmt.Fprintf(std.Out, "task %s %s\n", term.Line(task.ID), text)
	return err
}

type pauseCommand struct {
	Queue string `arg:"" help:"The queue's name."`
	connection
}

func (c *pauseCommand) Run(ctx context.Context, std Streams) error {
	server, err := c.open()
	if err != nil {
		return err
	}
	q, err := server.Pause(ctx, c.Queue)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.Out, "queue %s is paused: %d pending tasks wait, %d active ones go on\n", term.Line(q.Name), q.Pending, q.Active)
	return err
}

type resumeCommand struct {
	Queue string `arg:"" help:"The queue's name."`
	connection
}

func (c *resumeCommand) Run(ctx context.Context, std Streams) error {
	server, err := c.open()
	if err != nil {
		return err
	}
	q, err := server.Resume(ctx, c.Queue)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.Out, "queue %s is not paused: %d tasks are pending\n", term.Line(q.Name), q.Pending)
	return err
}
