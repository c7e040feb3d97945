"""What serving knows: entities, feature views and services. Feast only; the resource roots the sources in a lake."""
