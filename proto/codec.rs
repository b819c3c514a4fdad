//! How messages are encoded: as tonic does it, with smaller buffers.
//!
//! tonic keeps a buffer of 8 KiB for each open stream, and encodes 32 KiB before it looks whether
//! anybody reads. Most streams here wait for hours between two messages of some hundred bytes, and
//! one that isn't read shall hold little.

use prost::Message;
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};
use tonic_prost::ProstCodec;

/// A buffer begins with this, and grows with its messages.
const BUFFER_BYTES: usize = 1024;
/// What is encoded at most before it is handed on, but for the last message.
const YIELD_BYTES: usize = 4 * 1024;

/// Encodes `T` and decodes `U`.
#[derive(Clone, Debug)]
pub struct Lean<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Lean<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for Lean<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = Exact<T>;
    type Decoder = <ProstCodec<T, U> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        Exact(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES))
    }
}

/// Encodes `T` into as much room as it takes. A buffer that grows piece by piece doubles each time,
/// and a stream keeps it.
#[derive(Clone, Debug)]
pub struct Exact<T>(PhantomData<T>);

impl<T: Message> Encoder for Exact<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.reserve(item.encoded_len());
        item.encode(buf).map_err(|error| Status::internal(format!("a message can't be encoded: {error}")))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
    }
}
