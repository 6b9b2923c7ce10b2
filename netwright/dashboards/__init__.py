"""The face of a run: panels, the static report and the live app. Starts without torch."""
