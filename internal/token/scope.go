package token

import (
	"errors"
	"fmt"
	"slices"

	"github.com/seri-queue/seri"
)

// MaxNames bounds the tasks, and the queues, of one scope.
const MaxNames = 100

// Scope says what may be watched: what is set must all be true of a task.
type Scope struct {
	Tasks  []string `json:"tasks,omitempty"` // IDs, of which it must have one
	Owner  string   `json:"owner,omitempty"`
	Queues []string `json:"queues,omitempty"` // in one of which it must be
}

// Covers reports whether a task may be watched.
func (s Scope) Covers(info seri.Info) bool {
	return !s.empty() &&
		(len(s.Tasks) == 0 || slices.Contains(s.Tasks, info.ID)) &&
		(s.Owner == "" || s.Owner == info.Owner) &&
		(len(s.Queues) == 0 || slices.Contains(s.Queues, info.Queue))
}

// empty reports whether nothing is set. Such a scope covers nothing, so that what was forgotten opens no door.
func (s Scope) empty() bool { return len(s.Tasks) == 0 && s.Owner == "" && len(s.Queues) == 0 }

// Check returns what is wrong with a scope.
func (s Scope) Check() error {
	const longest = 256 // bytes of a name
	switch {
	case s.empty():
		return errors.New("none of tasks, owner and queues is given: say what may be watched")
	case len(s.Tasks) > MaxNames:
		return fmt.Errorf("tasks has %d entries, at most %d are allowed", len(s.Tasks), MaxNames)
	case len(s.Queues) > MaxNames:
		return fmt.Errorf("queues has %d entries, at most %d are allowed", len(s.Queues), MaxNames)
	case len(s.Owner) > longest:
		return fmt.Errorf("owner has %d bytes, at most %d are allowed", len(s.Owner), longest)
	}
	for _, name := range slices.Concat(s.Tasks, s.Queues) {
		if name == "" || len(name) > longest {
			return fmt.Errorf("%.60q is a task or a queue of %d bytes, must have 1 to %d", name, len(name), longest)
		}
	}
	return nil
}
