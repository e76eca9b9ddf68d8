// Command webapp is a web application that leaves slow work to a queue: POST /signup answers at once, with a link to
// watch. REDIS_URL says where the queue is.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/examples/email"
)

func main() {
	rdb, err := client.OpenRedis(cmp.Or(os.Getenv("REDIS_URL"), "redis://127.0.0.1:6379/0"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "webapp:", err)
		os.Exit(1)
	}
	queue := client.New(rdb, client.Config{})
	fmt.Println("http://127.0.0.1:3000; try: curl -id user_id=42 http://127.0.0.1:3000/signup")
	fmt.Fprintln(os.Stderr, "webapp:", http.ListenAndServe("127.0.0.1:3000", (&app{queue, queue}).routes()))
	os.Exit(1)
}

// app asks for the little that it needs, so that its tests need no Redis.
type app struct {
	queue seri.Enqueuer
	tasks interface {
		Task(ctx context.Context, queue, id string) (seri.Info, error)
	}
}

func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /signup", a.signUp)
	mux.HandleFunc("GET /signup/{user}", a.show)
	return http.NewCrossOriginProtection().Handler(mux)
}

// signUp hands the mail over and answers before it is sent.
func (a *app) signUp(w http.ResponseWriter, r *http.Request) {
	user, err := strconv.ParseInt(r.FormValue("user_id"), 10, 64)
	if err != nil || user < 1 {
		http.Error(w, "user_id must be a positive number", http.StatusUnprocessableEntity)
		return
	}
	_, err = email.Welcome.Enqueue(r.Context(), a.queue, email.WelcomeArgs{UserID: user},
		seri.ID(welcomeID(user)), // a second click is no second mail
		seri.Owner(fmt.Sprintf("user:%d", user)))
	if err != nil && !errors.Is(err, seri.ErrConflict) {
		http.Error(w, "try again in a moment", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Location", fmt.Sprintf("/signup/%d", user))
	w.WriteHeader(http.StatusAccepted)
}

// show tells how far the mail is.
func (a *app) show(w http.ResponseWriter, r *http.Request) {
	user, err := strconv.ParseInt(r.PathValue("user"), 10, 64)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	info, err := a.tasks.Task(r.Context(), seri.DefaultQueue, welcomeID(user))
	switch {
	case errors.Is(err, seri.ErrNotFound):
		http.NotFound(w, r)
	case err != nil:
		http.Error(w, "try again in a moment", http.StatusServiceUnavailable)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"state": info.State, "attempt": info.Attempt, "error": info.Error})
	}
}

func welcomeID(user int64) string { return fmt.Sprintf("welcome-%d", user) }
