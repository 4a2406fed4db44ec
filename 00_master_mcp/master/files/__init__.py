"""The files that messages carry: images, audio, blobs, embedded resources. All of it is pure."""
