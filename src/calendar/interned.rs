//! The table of all calendars.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use jiff::fmt::temporal::DateTimePrinter;
use jiff::tz::TimeZone;

use super::{Calendar, Period};

/// The name that stands for a zone without one. It does not parse.
const UNNAMED: &str = "(unnamed)";

/// The calendars, by period and name of the zone. Zones of one name can have different rules, if
/// they are from different time zone databases.
type Calendars = HashMap<(Period, String), Vec<&'static Calendar>>;

static CALENDARS: LazyLock<Mutex<Calendars>> = LazyLock::new(Mutex::default);

/// Returns the calendar of a period in a zone, and creates it if there is none yet. It is never
/// freed, so that a quota can be copied.
pub(super) fn get(period: Period, zone: TimeZone) -> &'static Calendar {
    let name = DateTimePrinter::new().time_zone_to_string(&zone).unwrap_or_else(|_| UNNAMED.to_owned());
    let mut calendars = CALENDARS.lock().unwrap_or_else(PoisonError::into_inner);
    let same_name = calendars.entry((period, name.clone())).or_default();
    match same_name.iter().find(|calendar| *calendar.zone() == zone) {
        Some(calendar) => calendar,
        None => {
            let calendar: &'static Calendar = Box::leak(Box::new(Calendar::new(period, zone, &name)));
            same_name.push(calendar);
            calendar
        }
    }
}
