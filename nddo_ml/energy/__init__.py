"""From integrals and density to energy, properties and derivatives."""
