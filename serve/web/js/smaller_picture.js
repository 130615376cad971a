/** Phones make pictures of many megabytes; a face needs few of them. */

const LARGE_BYTES = 1_000_000;
const LONGEST_SIDE = 1600;

/** The picture, or a JPEG of fewer pixels where it is large. What the browser cannot read is left to the server. */
export async function smallerPicture(file) {
  if (file.size <= LARGE_BYTES) return file;
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return file;
  const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = new OffscreenCanvas(Math.round(scale * bitmap.width), Math.round(scale * bitmap.height));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return new File([await canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 })], file.name, {
    type: "image/jpeg",
  });
}
