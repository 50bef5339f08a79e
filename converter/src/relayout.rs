//! Tensors with their axes in another order. Elements are the four bytes of a float32, row-major.

use rayon::prelude::*;

/// Edge of the square that is transposed at once: two of them fit in a core's first-level cache.
const TILE: usize = 32;

/// `values [rows, columns]` as `[columns, rows]`.
pub(crate) fn transpose(values: &[[u8; 4]], rows: usize, columns: usize) -> Vec<[u8; 4]> {
    let mut out = vec![[0; 4]; values.len()];
    // Each task makes TILE rows of the result.
    out.par_chunks_mut(TILE * rows.max(1)).enumerate().for_each(|(band, out)| {
        let first = band * TILE;
        for row_tile in (0..rows).step_by(TILE) {
            let row_end = rows.min(row_tile + TILE);
            for (i, out_row) in out.chunks_exact_mut(rows).enumerate() {
                let column = first + i;
                for row in row_tile..row_end {
                    out_row[row] = values[row * columns + column];
                }
            }
        }
    });
    out
}

/// `values` of `shape` with the axes in another order: the result's axis `i` is axis `order[i]` of `shape`.
pub(crate) fn permute(values: &[[u8; 4]], shape: &[usize], order: &[usize]) -> Vec<[u8; 4]> {
    let stride = |axis: usize| shape[axis + 1..].iter().product::<usize>();
    let axes: Vec<(usize, usize)> = order.iter().map(|&axis| (shape[axis], stride(axis))).collect();
    let Some((&(length, step), outer)) = axes.split_last() else { return values.to_vec() }; // No axes: one number.
    let mut out = vec![[0; 4]; values.len()];
    out.par_chunks_mut(length.max(1)).enumerate().for_each(|(mut row, out)| {
        let mut start = 0;
        for &(size, stride) in outer.iter().rev() {
            start += row % size * stride;
            row /= size;
        }
        out.iter_mut().enumerate().for_each(|(i, value)| *value = values[start + i * step]);
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permuting_moves_every_element() {
        let (shape, order) = ([2, 3, 4, 5], [2, 0, 3, 1]);
        let values: Vec<[u8; 4]> = (0..120_u32).map(u32::to_le_bytes).collect();
        let out = permute(&values, &shape, &order);
        let mut index = 0;
        for c in 0..4 {
            for a in 0..2 {
                for d in 0..5 {
                    for b in 0..3 {
                        assert_eq!(u32::from_le_bytes(out[index]) as usize, ((a * 3 + b) * 4 + c) * 5 + d);
                        index += 1;
                    }
                }
            }
        }
        assert_eq!(permute(&values, &shape, &[0, 1, 2, 3]), values);
    }

    #[test]
    fn transposing_moves_every_element() {
        for (rows, columns) in [(1, 1), (3, 5), (32, 64), (33, 65), (100, 7)] {
            let values: Vec<[u8; 4]> = (0..rows * columns).map(|i| (i as f32).to_le_bytes()).collect();
            let out = transpose(&values, rows, columns);
            for row in 0..rows {
                for column in 0..columns {
                    assert_eq!(out[column * rows + row], values[row * columns + column]);
                }
            }
        }
    }
}
