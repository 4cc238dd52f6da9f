//! Makes a picture small.

use std::io::Cursor;

use bulkhead::{Bytes, Error};
use image::{ImageFormat, ImageReader};
use schemars::JsonSchema;
use serde::Serialize;

/// The longer side of a thumbnail in pixels, unless the caller says otherwise.
const DEFAULT_MAX_SIDE: u32 = 128;

/// The longest side that a caller may ask for: what is larger is no thumbnail.
const LIMIT_OF_SIDE: u32 = 2048;

/// A small picture.
#[derive(Serialize, JsonSchema)]
pub struct Thumbnail {
    /// A PNG file.
    png: Bytes,
    /// In pixels.
    width: u32,
    /// In pixels.
    height: u32,
}

/// Scales a PNG or JPEG so that its longer side has at most `max_side` pixels (128 unless given), keeping its shape.
///
/// Pictures that are small enough keep their size.
///
/// ```json
/// {"picture": "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAECAIAAAA8r+mnAAAARElEQVR42g3JMQHAQAwDMSMJEiMJEo+H4pEYSRC1WiWJERYrIp6oOCGZMTZrYp6pOf8RJjhsSHih4fJHmeKyJeWVlisfuy4oYWMj9UUAAAAASUVORK5CYII=", "max_side": 4}
/// ```
///
/// # Errors
///
/// `bad_picture` for what is neither PNG nor JPEG, and `bad_size` for sides outside 1 to 2048.
#[bulkhead::function(memory = "512MiB", timeout = "30s")]
pub fn thumbnail(picture: Bytes, max_side: Option<u32>) -> Result<Thumbnail, Error> {
    let side = max_side.unwrap_or(DEFAULT_MAX_SIDE);
    if !(1..=LIMIT_OF_SIDE).contains(&side) {
        let message = format!("expected max_side from 1 to {LIMIT_OF_SIDE}, found {side}");
        return Err(Error::new(message).with_code("bad_size"));
    }
    // The reader's default limits refuse pictures that unpack to more than 512 MiB.
    let full = ImageReader::new(Cursor::new(&picture.0))
        .with_guessed_format()?
        .decode()
        .map_err(|error| Error::from(error).with_code("bad_picture"))?;
    let small = if full.width().max(full.height()) > side { full.thumbnail(side, side) } else { full };
    let mut png = Cursor::new(Vec::new());
    small.write_to(&mut png, ImageFormat::Png)?;
    Ok(Thumbnail { png: png.into_inner().into(), width: small.width(), height: small.height() })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use bulkhead::{Bytes, json, testing::Call};
    use image::{ImageFormat, RgbImage};
    use serde::Deserialize;
    use serde_json::Value;

    #[derive(Deserialize)]
    struct Answer {
        png: Bytes,
        width: u32,
        height: u32,
    }

    fn picture(format: ImageFormat) -> Bytes {
        let gradient = RgbImage::from_fn(80, 40, |x, y| image::Rgb([x as u8, y as u8, 128]));
        let mut file = Cursor::new(Vec::new());
        gradient.write_to(&mut file, format).unwrap();
        Bytes(file.into_inner())
    }

    #[test]
    fn it_keeps_the_shape() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg] {
            let args = json!({"picture": picture(format), "max_side": 20});
            let answer: Answer = Call::new("thumbnail").args(args).run().expect_ok();
            assert_eq!((answer.width, answer.height), (20, 10));
            let back = image::load_from_memory(&answer.png.0).unwrap();
            assert_eq!((back.width(), back.height()), (20, 10));
        }
    }

    #[test]
    fn the_sample_works() {
        let samples: Value = serde_json::from_str(include_str!("../../samples.json")).unwrap();
        let mut samples = samples.as_array().unwrap().iter();
        let sample = samples.find(|one| one["crate"] == "thumbnail").unwrap();
        let answer: Answer = Call::new("thumbnail").args(&sample["args"]).run().expect_ok();
        assert_eq!((answer.width, answer.height), (4, 2));
    }

    #[test]
    fn it_leaves_small_ones_alone() {
        let args = (picture(ImageFormat::Png), None::<u32>);
        let answer: Answer = Call::new("thumbnail").run_bincode(args).unwrap();
        assert_eq!((answer.width, answer.height), (80, 40));
    }

    #[test]
    fn it_refuses_what_is_no_picture() {
        let call = |args| Call::new("thumbnail").args(args).run().expect_error_code();
        assert_eq!(call(json!(["AAAA"])), "bad_picture");
        assert_eq!(call(json!(["AAAA", 0])), "bad_size");
    }
}
