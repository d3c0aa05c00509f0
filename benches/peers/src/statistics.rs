//! Minimum, median and maximum of a few figures.

/// The spread of the figures of all rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The smallest figure.
    pub min: f64,
    /// The middle figure, or the mean of the two middle figures.
    pub median: f64,
    /// The largest figure.
    pub max: f64,
}

impl Spread {
    /// Computes the spread of figures.
    ///
    /// # Panics
    ///
    /// Panics if there are no figures.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let (first, last, middle) = (0, figures.len() - 1, figures.len() / 2);
        let median = if figures.len() % 2 == 1 {
            figures[middle]
        } else {
            f64::midpoint(figures[middle - 1], figures[middle])
        };
        Self { min: figures[first], median, max: figures[last] }
    }

    /// Computes the spread of the ratios between figures of the same round.
    pub fn of_ratios(figures: &[f64], references: &[f64]) -> Self {
        Self::of(figures.iter().zip(references).map(|(figure, reference)| figure / reference))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_an_odd_number_of_figures_is_the_middle_one() {
        assert_eq!(Spread::of([3.0, 1.0, 10.0]), Spread { min: 1.0, median: 3.0, max: 10.0 });
    }

    #[test]
    fn median_of_an_even_number_of_figures_is_the_mean_of_the_middle_two() {
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 9.0]), Spread { min: 1.0, median: 3.0, max: 9.0 });
    }

    #[test]
    fn one_figure_is_minimum_median_and_maximum() {
        assert_eq!(Spread::of([5.0]), Spread { min: 5.0, median: 5.0, max: 5.0 });
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // A machine that is twice as slow in the second round makes no difference.
        let ratios = Spread::of_ratios(&[10.0, 20.0], &[20.0, 40.0]);
        assert_eq!(ratios, Spread { min: 0.5, median: 0.5, max: 0.5 });
    }
}
