use super::*;

/// A chunk with one block of these streams.
fn chunk(flags: u8, item: u8, decoded: i32, block: i32, streams: &[u8]) -> Vec<u8> {
    let mut chunk = vec![5, 1, EXTENDED | flags, item];
    chunk.extend_from_slice(&decoded.to_le_bytes());
    chunk.extend_from_slice(&block.to_le_bytes());
    chunk.extend_from_slice(&le(36 + streams.len()));
    chunk.resize(HEADER, 0);
    chunk.extend_from_slice(&36_i32.to_le_bytes());
    chunk.extend_from_slice(streams);
    chunk
}

fn decode(bytes: &[u8]) -> Result<Vec<u8>, ChunkError> {
    let chunk = Chunk::new(bytes)?;
    let mut out = vec![0xaa; chunk.decoded_len()];
    chunk.decode_into(&mut out).map(|()| out)
}

const ZSTD: u8 = CODEC_ZSTD << 5;

#[test]
fn a_run_of_one_value_needs_a_token() {
    let run = |token: u8, value: i32| {
        let streams = [&value.wrapping_neg().to_le_bytes()[..], &[token]].concat();
        decode(&chunk(ZSTD | NOT_SPLIT, 1, 40, 40, &streams))
    };
    assert_eq!(run(1, 3), Ok(vec![3; 40]));
    assert_eq!(run(3, 255), Ok(vec![255; 40]));
    assert_eq!(run(0, 3), Err(ChunkError::Corrupt(0)));
    assert_eq!(run(1, 256), Err(ChunkError::Corrupt(0)));
    assert_eq!(run(1, i32::MIN), Err(ChunkError::Corrupt(0)));
    assert_eq!(decode(&chunk(ZSTD | NOT_SPLIT, 1, 40, 40, &[0xff; 4])), Err(ChunkError::Outside(0)));
}

#[test]
fn a_split_block_has_a_stream_for_each_byte_of_an_item() {
    let streams = [&2_i32.to_le_bytes()[..], &[1, 2], &0_i32.to_le_bytes(), &(-9_i32).to_le_bytes(), &[1]].concat();
    assert_eq!(decode(&chunk(ZSTD, 3, 6, 6, &streams)), Ok(vec![1, 2, 0, 0, 9, 9]));
    let mut shuffled = chunk(ZSTD, 3, 6, 6, &streams);
    shuffled[21] = FILTER_SHUFFLE;
    assert_eq!(decode(&shuffled), Ok(vec![1, 0, 9, 2, 0, 9]));
    assert_eq!(decode(&chunk(ZSTD, 4, 6, 6, &streams)), Err(ChunkError::Header("length of a block")));
}

#[test]
fn bytes_after_the_last_item_are_not_shuffled() {
    let mut out = [0; 8];
    unshuffle(&[1, 2, 3, 4, 5, 6, 7, 8], &mut out, 3);
    assert_eq!(out, [1, 3, 5, 2, 4, 6, 7, 8]);
    unshuffle(&[1, 2, 3, 4, 5, 6, 7, 8], &mut out, 200);
    assert_eq!(out, [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn special_chunks_have_a_value_or_nothing() {
    let special = |kind: u8, after: &[u8]| {
        let mut chunk = chunk(ZSTD, 2, 8, 8, &[]);
        chunk.truncate(HEADER);
        chunk.extend_from_slice(after);
        chunk[12..16].copy_from_slice(&le(HEADER + after.len()));
        chunk[31] = kind << 4;
        decode(&chunk)
    };
    assert_eq!(special(SPECIAL_ZERO, &[]), Ok(vec![0; 8]));
    assert_eq!(special(SPECIAL_ZERO, &[1]), Err(ChunkError::Header("length")));
    assert_eq!(special(SPECIAL_REPEATED, &[1, 2]), Ok(vec![1, 2, 1, 2, 1, 2, 1, 2]));
    assert_eq!(special(SPECIAL_REPEATED, &[1]), Err(ChunkError::Header("length")));
    for kind in [2, 4, 5, 6, 7] {
        assert_eq!(special(kind, &[]), Err(ChunkError::Feature("chunks of NaNs or without values")));
    }
}

/// A frame of Zstandard with a header of the content's length, and these blocks.
fn frame(length: u32, blocks: &[(u32, u32, &[u8])]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    frame.extend_from_slice(&length.to_le_bytes());
    for (index, &(kind, size, contents)) in blocks.iter().enumerate() {
        let last = u32::from(index + 1 == blocks.len());
        frame.extend_from_slice(&(size << 3 | kind << 1 | last).to_le_bytes()[..3]);
        frame.extend_from_slice(contents);
    }
    frame
}

#[test]
fn a_frame_has_exactly_the_length_of_the_stream() {
    const RAW: u32 = 0;
    const RUN: u32 = 1;
    let run = |frame: &[u8]| {
        let mut out = [0; 100];
        zstandard(frame, &mut out).then_some(out)
    };
    assert_eq!(run(&frame(100, &[(RUN, 100, &[7])])), Some([7; 100]));
    assert_eq!(run(&frame(100, &[(RAW, 0, &[]), (RUN, 60, &[7]), (RUN, 40, &[7])])), Some([7; 100]));
    assert_eq!(run(&frame(99, &[(RUN, 100, &[7])])), None);
    assert_eq!(run(&frame(100, &[(RUN, 99, &[7])])), None);
    assert_eq!(run(&frame(100, &[(RUN, 101, &[7])])), None);
    // A bomb: a hundred thousand blocks of 128 KiB each, of which the first is decoded.
    assert_eq!(run(&frame(100, &vec![(RUN, 128 << 10, &[7_u8][..]); 100_000])), None);
    let mut two = frame(100, &[(RUN, 100, &[7])]);
    two.extend(two.clone());
    assert_eq!(run(&two), None);
    assert_eq!(run(&[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]), None, "a frame to skip");
    assert_eq!(run(&[]), None);
}

#[test]
fn lengths_that_do_not_fit_give_no_chunk() {
    assert_eq!(encode(&[], 1)[4..8], [0; 4]);
    assert_eq!(decode(&encode(&[], 1)), Err(ChunkError::Header("length")));
    assert_eq!(decode(&encode(&[1], 1)), Ok(vec![1]));
}
