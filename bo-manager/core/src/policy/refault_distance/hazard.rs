//! How often the ghosts of a queue come back.

/// Returns over exposure: the estimate of a hazard that counts those that have not come back yet
/// for the time that they were away. Both fade while a pool is filled.
#[derive(Debug, Default)]
pub(super) struct Hazard {
    /// Bytes that came back.
    returns: f64,
    /// Bytes that were away, times the bytes that were filled meanwhile.
    exposure: f64,
}

impl Hazard {
    /// A part `step` of a pool was filled, while so much was exposed.
    pub(super) fn pass(&mut self, step: f64, exposure: f64) {
        self.returns *= 1.0 - step;
        self.exposure = self.exposure * (1.0 - step) + exposure;
    }

    /// So many bytes came back.
    pub(super) fn note(&mut self, bytes: f64) {
        self.returns += bytes;
    }

    /// Which part of those away comes back while one byte is filled. Zero if nothing did.
    pub(super) fn rate(&self) -> f64 {
        if self.exposure > 0.0 { self.returns / self.exposure } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_part_that_comes_back() {
        let mut hazard = Hazard::default();
        assert!(hazard.rate() == 0.0, "nothing is known");
        for _ in 0..10_000 {
            // A hundred are away, and one comes back with every second step.
            hazard.pass(0.001, 100.0);
            hazard.note(0.5);
        }
        assert!((hazard.rate() - 0.005).abs() < 1e-4, "{}", hazard.rate());
    }

    #[test]
    fn what_was_long_ago_does_not_count() {
        let mut hazard = Hazard::default();
        hazard.pass(0.001, 1.0);
        hazard.note(1.0);
        for _ in 0..8_000 {
            hazard.pass(0.001, 1.0);
        }
        assert!(hazard.rate() < 1e-5);
    }
}
