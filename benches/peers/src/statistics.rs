//! Least, median and most of a few figures.

/// What is told about the figures of all rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The least.
    pub least: f64,
    /// As many are above it as below.
    pub median: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// Of figures, one of which there must be.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let (first, last, middle) = (0, figures.len() - 1, figures.len() / 2);
        let median = if figures.len() % 2 == 1 {
            figures[middle]
        } else {
            f64::midpoint(figures[middle - 1], figures[middle])
        };
        Self { least: figures[first], median, most: figures[last] }
    }

    /// Of the ratios of figures to others, pair by pair: those that were measured in the same round.
    pub fn of_pairs(figures: &[f64], others: &[f64]) -> Self {
        Self::of(figures.iter().zip(others).map(|(figure, other)| figure / other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_odd_number_the_median_is_the_one_in_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 10.0]), Spread { least: 1.0, median: 3.0, most: 10.0 });
    }

    #[test]
    fn of_an_even_number_it_is_halfway_between_two() {
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 9.0]), Spread { least: 1.0, median: 3.0, most: 9.0 });
    }

    #[test]
    fn of_one_all_are_the_same() {
        assert_eq!(Spread::of([5.0]), Spread { least: 5.0, median: 5.0, most: 5.0 });
    }

    #[test]
    fn pairs_are_divided_before_they_are_sorted() {
        // A machine that is twice as slow in the second round makes no difference.
        let ratios = Spread::of_pairs(&[10.0, 20.0], &[20.0, 40.0]);
        assert_eq!(ratios, Spread { least: 0.5, median: 0.5, most: 0.5 });
    }
}
