//! Weighted linear least squares with few parameters.

/// What was fitted.
#[derive(Clone, Debug)]
pub(super) struct Fit {
    /// The parameters, one for each column.
    pub(super) parameters: Vec<f64>,
    /// The inverse of the normal matrix: times the variance of a row of weight 1, the parameters' covariances.
    pub(super) inverse: Vec<Vec<f64>>,
    /// The weighted sum of the squares that are left.
    pub(super) left: f64,
}

/// Fits `value = Σ parameter · column` to rows of (columns, value, weight). None where the rows do not
/// determine the parameters.
pub(super) fn fit(rows: &[(Vec<f64>, f64, f64)]) -> Option<Fit> {
    let size = rows.first()?.0.len();
    let mut normal = vec![vec![0.0; size]; size];
    let mut right = vec![0.0; size];
    for (columns, value, weight) in rows {
        for (i, first) in columns.iter().enumerate() {
            right[i] += weight * first * value;
            for (j, second) in columns.iter().enumerate() {
                normal[i][j] += weight * first * second;
            }
        }
    }
    let inverse = invert(normal)?;
    let parameters: Vec<f64> =
        inverse.iter().map(|row| row.iter().zip(&right).map(|(factor, value)| factor * value).sum()).collect();
    let left = rows.iter().map(|(columns, value, weight)| {
        let predicted: f64 = columns.iter().zip(&parameters).map(|(column, parameter)| column * parameter).sum();
        weight * (value - predicted).powi(2)
    });
    let left = left.sum();
    Some(Fit { parameters, inverse, left })
}

/// A pivot this much smaller than the largest entry counts as none.
const SINGULAR: f64 = 1e-12;

/// The inverse by Gauss and Jordan with pivots from the rows; none of a singular matrix.
fn invert(mut matrix: Vec<Vec<f64>>) -> Option<Vec<Vec<f64>>> {
    let size = matrix.len();
    let largest = matrix.iter().flatten().fold(0.0_f64, |largest, entry| largest.max(entry.abs()));
    let mut inverse: Vec<Vec<f64>> =
        (0..size).map(|i| (0..size).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for column in 0..size {
        let pivot = (column..size).max_by(|a, b| matrix[*a][column].abs().total_cmp(&matrix[*b][column].abs()))?;
        let is_singular = matrix[pivot][column].abs() <= largest * SINGULAR;
        if is_singular || matrix[pivot][column].is_nan() {
            return None;
        }
        matrix.swap(column, pivot);
        inverse.swap(column, pivot);
        let factor = matrix[column][column];
        for entry in matrix[column].iter_mut().chain(&mut inverse[column]) {
            *entry /= factor;
        }
        for row in (0..size).filter(|row| *row != column) {
            let factor = matrix[row][column];
            for j in 0..size {
                matrix[row][j] -= factor * matrix[column][j];
                inverse[row][j] -= factor * inverse[column][j];
            }
        }
    }
    Some(inverse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_through_points_on_it_is_found() {
        let rows: Vec<_> = (0..4).map(|x| (vec![1.0, f64::from(x)], 3.0 + 2.0 * f64::from(x), 1.0)).collect();
        let found = fit(&rows).unwrap();
        assert!((found.parameters[0] - 3.0).abs() < 1e-9 && (found.parameters[1] - 2.0).abs() < 1e-9);
        assert!(found.left < 1e-18);
        // Of x = 0 to 3: the sum of squares about the mean is 5.
        assert!((found.inverse[1][1] - 0.2).abs() < 1e-12);
    }

    #[test]
    fn what_is_not_determined_is_refused() {
        let rows: Vec<_> = (0..4).map(|x| (vec![1.0, 1.0], f64::from(x), 1.0)).collect();
        assert!(fit(&rows).is_none());
        assert!(fit(&[]).is_none());
    }
}
