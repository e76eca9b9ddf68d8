// Package email is an area of tasks as a team would write its own: the task and its types here, which is all that a
// web application imports; what only the worker needs in mailer.go.
package email

import (
	"time"

	"github.com/seri-queue/seri"
)

// Welcome greets a new user. Repeating it is harmless: the provider drops a second mail with the same key.
var Welcome = seri.NewTask[WelcomeArgs, Receipt]("email:welcome", seri.MaxRetries(5), seri.Timeout(time.Minute))

// WelcomeArgs says whom to greet.
type WelcomeArgs struct {
	UserID int64 `json:"user_id" jsonschema:"Whom to greet." minimum:"1"`
}

// Receipt is the provider's word that it has taken the mail.
type Receipt struct {
	MessageID string `json:"message_id"`
}
