// Package schedule says when periodic tasks are due, and reads the file that lists them. It is arithmetic only:
// it knows neither Redis nor the present time, starts nothing and keeps nothing, so that every beat that asks the
// same question gets the same answer.
//
// [Parse] turns a cron expression or an interval into a [Spec]; [Spec.Next] returns its next tick. [Load] reads a
// file of schedules; [Schedule.Message] makes the task of one tick.
//
// # The model
//
// An instant is a moment in real time. A reading is what a clock on the wall shows. A time zone maps instants to
// readings, and twice a year, in many zones, it does so with a jump:
//
//	gap:   01:58 01:59 | 03:00 03:01     readings that no clock ever shows
//	fold:  01:58 01:59 | 01:00 01:01     readings that clocks show twice
//
// A spec names readings; ticks are instants. What a jump does to them depends on the hour field:
//
//   - Fixed hours ("30 2 * * *", "@daily") name times of day, and each is kept once. The tick of a reading is the
//     first instant at which the clock shows that reading or a later one: a reading in a gap ticks at the first
//     instant after the gap, one in a fold at its first occurrence only.
//   - Hours that are a wildcard or have a step ("0 * * * *", "0 */2 * * *") name a rhythm. Such a spec ticks at every
//     instant whose reading matches: in both halves of a fold, never for what a gap leaves out.
//   - An interval ("@every 90s") ticks at the whole multiples of its length since the Unix epoch, in every zone alike,
//     and so keeps its phase when a beat restarts.
//
// Readings in one gap that lead to the same instant are one tick. This is the rule of ISC cron.
//
// # Guarantees
//
// Ticks are whole seconds between the Unix epoch and the year 9999. [Spec.Next] is strictly increasing, ends after
// a bounded number of steps whatever the spec, and every spec that [Parse] accepts has a next tick (29 February may be
// eight years away, around 2100). Leap seconds do not exist, as everywhere in Go.
//
// Not promised: that a future tick stays where it is. Governments change their clocks, and a new time zone database
// moves the readings of the future to other instants.
package schedule
