package schedule

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// solar ticks at an event of the sun, as it is seen from a place at sea level.
//
// The formulas are those of NOAA's solar calculator, after Jean Meeus, "Astronomical Algorithms": good for a minute between
// the polar circles, and for a few near the poles, where the sun runs along the horizon. Each tick is a whole second.
type solar struct {
	event               solarEvent
	latitude, longitude float64 // degrees; north and east are positive
}

type solarEvent struct {
	name     string
	altitude float64 // of the sun's centre, in degrees
	side     float64 // -1: while it rises, 1: while it sets, 0: when it stands highest
}

// solarEvents are Celery's nine. At sunrise and sunset the sun's upper edge is on the horizon, with refraction.
var solarEvents = []solarEvent{
	{"dawn_astronomical", -18, -1}, {"dawn_nautical", -12, -1}, {"dawn_civil", -6, -1}, {"sunrise", -0.833, -1},
	{"solar_noon", 0, 0},
	{"sunset", -0.833, 1}, {"dusk_civil", -6, 1}, {"dusk_nautical", -12, 1}, {"dusk_astronomical", -18, 1},
}

// parseSolar reads "sunset 52.52 13.405".
func parseSolar(text string) (rule, *SpecError) {
	fields := strings.Fields(text)
	if len(fields) != 3 {
		return nil, &SpecError{Problem: "is not an event with a latitude and a longitude", Advice: "write @solar sunset 52.52 13.405"}
	}
	i := slices.IndexFunc(solarEvents, func(e solarEvent) bool { return e.name == fields[0] })
	if i < 0 {
		names := make([]string, len(solarEvents))
		for i, e := range solarEvents {
			names[i] = e.name
		}
		return nil, &SpecError{Field: "event", Problem: fmt.Sprintf("%q is not known", fields[0]), Advice: "use " + strings.Join(names, ", ")}
	}
	s := solar{event: solarEvents[i]}
	for _, c := range []struct {
		name, text string
		value      *float64
		most       float64
	}{{"latitude", fields[1], &s.latitude, 90}, {"longitude", fields[2], &s.longitude, 180}} {
		degrees, err := strconv.ParseFloat(c.text, 64)
		if err != nil || !(math.Abs(degrees) <= c.most) {
			return nil, &SpecError{
				Field: c.name, Problem: fmt.Sprintf("%q is not in degrees", c.text),
				Advice: fmt.Sprintf("write a number from -%v to %v; north and east are positive", c.most, c.most),
			}
		}
		*c.value = degrees
	}
	if s.event.side != 0 && math.Abs(s.latitude) > mostPolar {
		return nil, &SpecError{
			Field: "latitude", Problem: fmt.Sprintf("%q is too near to the pole, where the sun rises and sets by the year and not by the day", fields[1]),
			Advice: fmt.Sprintf("write a number from -%v to %v, or use solar_noon", mostPolar, mostPolar),
		}
	}
	if _, ok := s.next(0); !ok {
		return nil, &SpecError{Problem: "never ticks: the sun does not do that there", Advice: "choose another event or place"}
	}
	return s, nil
}

func (s solar) String() string {
	degrees := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	return "@solar " + s.event.name + " " + degrees(s.latitude) + " " + degrees(s.longitude)
}

const (
	// mostPolar is the latitude up to which the sun passes each altitude that it does pass on some day of each year.
	mostPolar = 89.5
	// longestNight is more days than any such place waits for the sun to come back to an altitude.
	longestNight = 400
)

func (s solar) next(after instant) (instant, bool) {
	today := math.Floor((float64(after) + s.longitude*240) / float64(day))
	for d := today - 1; d < today+longestNight; d++ {
		if at, ok := s.on(d); ok && at > after {
			return at, true
		}
	}
	return 0, false
}

// on returns the time of the event on a day, counted from the epoch by the sun itself: around its noon.
func (s solar) on(d float64) (instant, bool) {
	noon := d*float64(day) + 43200 - s.longitude*240
	at := noon
	for range 5 { // each step uses the sun's place at the time that the last one found
		declination, equation := sunAt(at)
		angle := 0.0
		if s.event.side != 0 {
			latitude := radians(s.latitude)
			cosine := (math.Sin(radians(s.event.altitude)) - math.Sin(latitude)*math.Sin(declination)) / (math.Cos(latitude) * math.Cos(declination))
			if !(math.Abs(cosine) <= 1) {
				return 0, false
			}
			angle = math.Acos(cosine) * 180 / math.Pi
		}
		at = noon - equation*60 + s.event.side*angle*240
	}
	return instant(math.Round(at)), true
}

// sunAt returns the sun's declination in radians, and what sundials are ahead of clocks in minutes.
func sunAt(unix float64) (declination, equation float64) {
	t := (unix/86400 + 2440587.5 - 2451545) / 36525 // Julian centuries since the year 2000
	longitude := radians(math.Mod(280.46646+t*(36000.76983+t*0.0003032), 360))
	anomaly := radians(357.52911 + t*(35999.05029-0.0001537*t))
	eccentricity := 0.016708634 - t*(0.000042037+0.0000001267*t)
	centre := math.Sin(anomaly)*(1.914602-t*(0.004817+0.000014*t)) + math.Sin(2*anomaly)*(0.019993-0.000101*t) + math.Sin(3*anomaly)*0.000289
	node := radians(125.04 - 1934.136*t)
	apparent := longitude + radians(centre-0.00569-0.00478*math.Sin(node))
	obliquity := radians(23 + (26+(21.448-t*(46.815+t*(0.00059-t*0.001813)))/60)/60 + 0.00256*math.Cos(node))
	declination = math.Asin(math.Sin(obliquity) * math.Sin(apparent))
	y := math.Tan(obliquity/2) * math.Tan(obliquity/2)
	equation = 4 * 180 / math.Pi * (y*math.Sin(2*longitude) - 2*eccentricity*math.Sin(anomaly) +
		4*eccentricity*y*math.Sin(anomaly)*math.Cos(2*longitude) - y*y/2*math.Sin(4*longitude) -
		1.25*eccentricity*eccentricity*math.Sin(2*anomaly))
	return declination, equation
}

func radians(degrees float64) float64 { return degrees * math.Pi / 180 }
