// Package images holds tasks that work on pictures. [Thumbnail] makes small copies of one.
package images

import (
	"time"

	"github.com/seri-queue/seri"
)

// Thumbnail scales one picture to several sizes.
//
// It reads JPEG, PNG, GIF (the first frame) and WebP (not animated), turns a JPEG the way its EXIF data says, and writes
// JPEG or PNG. Files are named after the source's content, so repeating the task, even at the same time, writes the
// same files again and harms nothing.
var Thumbnail = seri.NewTask[ThumbnailArgs, ThumbnailResult]("image.thumbnail", seri.MaxRetries(5), seri.Timeout(5*time.Minute))

// The limits of one task. Those of the source are options of [Thumbnailer].
const (
	MaxSizes = 16
	MaxEdge  = 4096 // pixels
)

// ThumbnailArgs says what to scale.
type ThumbnailArgs struct {
	Source string `json:"source" jsonschema:"The picture: an http or https URL, or a file: URL if the worker may read files." format:"http-or-file-url"`
	Sizes  []int  `json:"sizes" jsonschema:"The longest edges wanted, in pixels: 1 to 16 of them, each from 1 to 4096. A picture is never enlarged: beyond its own size it stays as large as it is." minItems:"1" maxItems:"16" minimum:"1" maximum:"4096"`
	Format string `json:"format,omitempty" jsonschema:"jpeg or png. Default: png if the picture is transparent somewhere, else jpeg. Transparent parts become white in a JPEG." enum:"jpeg,png"`
}

// ThumbnailResult says what the picture was and what was made of it.
type ThumbnailResult struct {
	Format     string  `json:"format" jsonschema:"The source's format: jpeg, png, gif or webp."`
	Width      int     `json:"width" jsonschema:"The source's width in pixels, upright."`
	Height     int     `json:"height" jsonschema:"The source's height in pixels, upright."`
	Thumbnails []Thumb `json:"thumbnails" jsonschema:"One for each size, in the order in which they were asked for."`
}

// Thumb is one scaled copy.
type Thumb struct {
	Size   int    `json:"size" jsonschema:"The longest edge that was asked for."`
	Path   string `json:"path" jsonschema:"Where the file is, relative to the worker's output directory, with slashes."`
	URL    string `json:"url" jsonschema:"Where the file is served, if the api serves the output directory."`
	Width  int    `json:"width" jsonschema:"In pixels."`
	Height int    `json:"height" jsonschema:"In pixels."`
	Bytes  int64  `json:"bytes" jsonschema:"The file's size."`
}
