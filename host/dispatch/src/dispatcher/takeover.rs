//! Another dispatcher took over what this one had claimed: it was silent for too long.

use super::Dispatcher;
use super::task::State;
use crate::output::Output;

impl Dispatcher {
    /// Drops all that waits: it is another's now. What runs goes on, and what is being recorded is: the
    /// store's fence decides.
    pub(super) fn taken_over(&mut self) {
        self.drop_waiting(|task| Output::Forget { task });
        for (task, asked) in &mut self.asked {
            if asked.held.take().is_some() {
                self.outputs.push_back(Output::Forget { task: *task });
            }
        }
        for entry in self.tasks.values_mut() {
            match &mut entry.state {
                State::Running { again, .. } => *again = None,
                State::Recording(recording) => recording.back = None,
                State::New | State::Waiting { .. } | State::Orphaned { .. } => {}
            }
        }
        self.hear_all_recoveries();
    }
}
