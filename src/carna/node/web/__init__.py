"""The station on the web: DICOMweb, its own API, its page."""
