// Decodes RESP.
