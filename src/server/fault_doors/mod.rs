//! The two doors, to the disk and to the clock, opened to whoever wants to see what faults there do.
//!
//! In no server that serves anybody: it is compiled with the feature `fault-doors` only, which no
//! release has (`docs/faults.md`), and for its own unit tests. Always true:
//!
//! * The decorators stand around the production disk and the production clock; without orders
//!   they add nothing but a look at a file that is not there.
//! * The orders stand in the file that [`VARIABLE`] names, and are read anew at each operation: they
//!   hold from the next one on. Who writes them puts the file there whole, by a rename.
//!
//! ```text
//! disk.write_ms=20       each write takes so much longer
//! disk.sync_ms=300       each sync takes so much longer, of a file or of a directory
//! disk.room=4096         so many bytes may still be written since the orders changed; then the disk
//!                        is full, also for bytes that replace others: some file systems never
//!                        overwrite
//! disk.sync=5            syncs fail with this error of the system, and what they were to make
//!                        durable is lost
//! clock.wall_ms=-600000  the wall clock is off by so much
//! clock.pace=2           time passes so much faster, on both clocks; the wall clock is right again
//!                        when this ends, the monotonic one goes on from where it is
//! ```

mod clock;
mod disk;
mod orders;

use std::sync::Arc;

use self::clock::DoorClock;
use self::disk::DoorDisk;
use self::orders::Control;
use crate::persistence::Disk;
use crate::time::Clock;

/// The environment variable that names the file of the orders. Without it the doors stay shut.
pub const VARIABLE: &str = "ZK_FAULT_DOORS";

/// Puts the decorators around disk and clock, if there may ever be orders.
pub fn open(doors: (Arc<dyn Disk>, Arc<dyn Clock>)) -> (Arc<dyn Disk>, Arc<dyn Clock>) {
    tracing::warn!("this build has fault-doors: it is for tests of faults, and for nobody's data");
    let Some(path) = std::env::var_os(VARIABLE) else { return doors };
    let control = Arc::new(Control::new(path.into()));
    let (disk, clock) = doors;
    let disk = DoorDisk::new(disk, control.clone());
    let clock = DoorClock::new(clock, control);
    (Arc::new(disk), Arc::new(clock))
}
