//! How well two sets of voxels agree.

/// The Dice coefficient of two sets of voxels: `2 |A ∩ B| / (|A| + |B|)`, in [0, 1]. It is 1 if both sets are empty.
///
/// `in_a` and `in_b` say which voxels of `a` and `b` are in the sets. If one slice is shorter, the voxels beyond its
/// end are not in its set.
///
/// The released code adds 1 to the denominator, which only favours large masks. This is the plain definition.
pub fn dice<A, B>(a: &[A], b: &[B], in_a: impl Fn(&A) -> bool, in_b: impl Fn(&B) -> bool) -> f64 {
    let shared = a.iter().zip(b).filter(|(a, b)| in_a(a) && in_b(b)).count();
    let held = a.iter().filter(|a| in_a(a)).count() + b.iter().filter(|b| in_b(b)).count();
    if held == 0 { 1.0 } else { 2.0 * shared as f64 / held as f64 }
}
