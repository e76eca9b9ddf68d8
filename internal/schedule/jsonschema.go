package schedule

import (
	_ "embed"
	"encoding/json"
	"fmt"
)

// FileSchema is the JSON Schema (2020-12) of a file of schedules, for editors and for checks before a deploy. What it
// refuses, [Read] refuses, but for numbers and dates in the place of text, which YAML's readers see differently; what it
// lets through may still have a fault that no schema can name.
//
//go:embed schedules.schema.json
var FileSchema []byte

// Schema returns the part of [FileSchema] that is about one schedule.
func Schema() json.RawMessage {
	var file struct {
		Defs struct {
			Schedule json.RawMessage `json:"schedule"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(FileSchema, &file); err != nil {
		panic(fmt.Sprintf("schedule: the embedded schema: %v", err))
	}
	return file.Defs.Schedule
}
