// Package fenced shows how what a lock protects refuses those who have lost it, where it lies outside of Redis: in
// PostgreSQL and in S3. The token comes from [lock.Locks.Do], or, in a task's handler, from [seri.TokenFrom].
//
// The rule is the same everywhere: keep the highest token beside what is written, and compare and write in one step.
package fenced

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/seri-queue/seri"
)

// Schema makes the tables that [Claim] and [SaveReport] need.
const Schema = `
	CREATE TABLE fences (name text PRIMARY KEY, token bigint NOT NULL);
	CREATE TABLE reports (id text PRIMARY KEY, body bytea NOT NULL, token bigint NOT NULL);`

// SaveReport writes one row that carries its token. It returns a [*seri.FencedError] if a higher one has written before.
// Two first writes at once are no problem: the second one waits for the first and then compares.
func SaveReport(ctx context.Context, db *sql.DB, token uint64, id string, body []byte) error {
	done, err := db.ExecContext(ctx, `
		INSERT INTO reports (id, body, token) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET body = excluded.body, token = excluded.token
		WHERE reports.token <= excluded.token`, id, body, int64(token))
	if err != nil {
		return fmt.Errorf("save report %s: %w", id, err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 1 {
		return err
	}
	refused := &seri.FencedError{Resource: "report " + id, Held: token}
	return refusal(refused, db.QueryRowContext(ctx, `SELECT token FROM reports WHERE id = $1`, id))
}

// Claim makes a whole transaction the work of one holder, whatever it goes on to write or delete. It must be the first
// statement: it locks the row of name until the transaction ends, so a lower token is refused from here on, and a holder
// with a higher one waits until this transaction has ended. It returns a [*seri.FencedError] if that one was first.
func Claim(ctx context.Context, tx *sql.Tx, token uint64, name string) error {
	done, err := tx.ExecContext(ctx, `
		INSERT INTO fences (name, token) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET token = excluded.token
		WHERE fences.token <= excluded.token`, name, int64(token))
	if err != nil {
		return fmt.Errorf("claim %s: %w", name, err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 1 {
		return err
	}
	refused := &seri.FencedError{Resource: name, Held: token}
	return refusal(refused, tx.QueryRowContext(ctx, `SELECT token FROM fences WHERE name = $1`, name))
}

// refusal adds the token that was in the way, for the reader of the error.
func refusal(refused *seri.FencedError, row *sql.Row) error {
	var seen int64
	if err := row.Scan(&seen); err != nil {
		return fmt.Errorf("%w (%w)", refused, err)
	}
	refused.Seen = uint64(seen)
	return refused
}
