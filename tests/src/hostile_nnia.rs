//! Arrays from clients of nnInteractive.

use segvol_server::nninteractive::container::{Packed, decode, encode};

/// The largest array that is decoded: any few bytes can be an array of zeros of that size.
const MAX_BYTES: usize = 512 << 10;

/// Any body as an array. What is decoded has the length of its shape, and is the same after it was encoded again.
///
/// # Panics
///
/// If a property does not hold.
pub fn array(bytes: &[u8]) {
    let Ok(array) = decode(bytes, MAX_BYTES) else { return };
    let packed = Packed::new(bytes, MAX_BYTES).expect("it was decoded");
    assert_eq!((packed.element(), packed.shape()), (array.element(), array.shape()));
    assert_eq!(packed.decoded_len(), array.bytes().len());
    let length: usize = array.shape().iter().product();
    assert_eq!(array.bytes().len(), length * usize::from(array.element().size()));
    assert_eq!(array.to_f32().len(), length);
    assert_eq!(array.positive().len(), length);
    let again = encode(array.element(), array.shape(), array.bytes());
    assert!(decode(&again, array.bytes().len()).as_ref() == Ok(&array), "it is another array when it was encoded");
}
