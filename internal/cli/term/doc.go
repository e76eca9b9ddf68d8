// Package term writes for people: what others have supplied is made harmless first ([Line], [Text], [JSON]), and what
// goes to a terminal fits its width ([Columns], [Truncate], [Table]).
package term
